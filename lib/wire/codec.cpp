#include "wire/codec.h"

#include <algorithm>
#include <charconv>

#include <parti/source.h>

#include "base/config_fields.h"
#include "wire/fields.h"

namespace parti::wire {

namespace {

using Kind = Tape::Kind;

void read_id(Fields& in, WriteId& out) {
    in.session("w", out.writer);
    in.number("s", out.sequence);
}

void read_name(Fields& in, std::string_view field, std::string& out, std::size_t bytes_max) {
    const auto text = in.text(field, Presence::optional);
    if (!text) return;
    const auto allowed = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-';
    };
    if (text->size() > bytes_max || !std::all_of(text->begin(), text->end(), allowed)) {
        return in.refuse(in.named(field) + " is " + quoted(*text) + "; it must be at most " + std::to_string(bytes_max) +
                         " of [A-Za-z0-9_.-]");
    }
    out = *text;
}

void read_state(Fields& in, LeaseState& out) {
    const auto text = in.text("state");
    if (!text) return;
    for (const LeaseState state :
         {LeaseState::live, LeaseState::draining, LeaseState::released, LeaseState::dead, LeaseState::evicted}) {
        if (to_string(state) == *text) {
            out = state;
            return;
        }
    }
    in.refuse(in.named("state") + " is " + quoted(*text) + "; it must be live, draining, released, dead or evicted");
}

void read_policy(Fields& in, Policy& out) {
    const auto text = in.text("policy");
    if (!text) return;
    for (const Policy policy : {Policy::relinquish, Policy::keep}) {
        if (to_string(policy) == *text) {
            out = policy;
            return;
        }
    }
    in.refuse(in.named("policy") + " is " + quoted(*text) + "; it must be relinquish or keep");
}

// "id" or ["id", weight]
Result<Partition> read_partition(Tape::Value item) {
    if (item.is(Kind::text)) return Partition::from_id(item.text());
    const auto bad = [] { return fail(Errc::malformed_record, R"(a partition must be "id" or ["id", weight])"); };
    if (!item.is(Kind::array) || item.begin() == item.end() || !item.begin().is(Kind::text)) return bad();
    const Tape::Value weight = item.begin().next();
    if (weight == item.end() || !(weight.next() == item.end()) || !weight.is(Kind::unsigned_number)) return bad();
    const std::uint64_t value = weight.number();
    constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
    return Partition::from_id(item.begin().text(), static_cast<std::int64_t>(std::min(value, kLargest)));
}

void read_partitions(Fields& in, std::string_view field, std::vector<Partition>& out) {
    const auto list = in.array(field);
    if (!list) return;
    std::size_t count = 0;
    for (Tape::Value item = list->begin(); item != list->end(); item = item.next()) ++count;
    if (count > kPartitionsMax) {
        return in.refuse(in.named(field) + " holds " + std::to_string(count) + " partitions; at most " +
                         std::to_string(kPartitionsMax) + " are allowed");
    }
    out.reserve(count);
    for (Tape::Value item = list->begin(); item != list->end(); item = item.next()) {
        auto partition = read_partition(item);
        if (!partition) {
            return in.refuse(in.named(field) + " entry " + std::to_string(out.size()) + ": " + partition.error().detail);
        }
        out.push_back(std::move(*partition));
    }
    if (!std::is_sorted(out.begin(), out.end())) std::sort(out.begin(), out.end());
    const auto twice = std::adjacent_find(out.begin(), out.end());
    if (twice != out.end()) in.refuse(in.named(field) + " holds partition " + quoted(twice->id()) + " twice; ids are unique");
}

void read_standbys(Fields& in, std::vector<WorkerNumber>& out) {
    const auto list = in.array("standbys");
    if (!list) return;
    for (Tape::Value item = list->begin(); item != list->end(); item = item.next()) {
        if (!item.is(Kind::unsigned_number) || item.number() > kWorkerNumberMax || out.size() > kWorkerNumberMax) {
            return in.refuse(in.named("standbys") + " must be different numbers in 0.." + std::to_string(kWorkerNumberMax));
        }
        out.push_back({static_cast<std::uint32_t>(item.number())});
    }
    std::vector<WorkerNumber> sorted = out;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) in.refuse(in.named("standbys") + " holds number " + std::to_string(twice->value) + " twice");
}

void read(Fields& in, LeaseRecord& out) {
    read_id(in, out.id);
    in.number("inc", out.incarnation.value, 1);
    in.session("session", out.session);
    read_state(in, out.state);
    read_name(in, "instance", out.instance, base::kInstanceBytesMax);
    in.hex("process", out.process);
    in.fence("applied", out.applied);
    in.number("floor", out.floor.value);
    in.number("capacity", out.capacity, 1, base::kCapacityMax);
    read_name(in, "zone", out.zone, base::kZoneBytesMax);
    out.speaks = kRecordMajorOldest;
    in.number("speaks", out.speaks, kRecordMajorOldest, std::numeric_limits<std::uint32_t>::max(), Presence::optional);
    in.number("silence", out.silence_ms, 1, kSilenceMsMax, Presence::optional);
}

void read(Fields& in, HeadRecord& out) {
    read_id(in, out.id);
    in.number("epoch", out.epoch.value, 1);
    in.number("version", out.version);
    in.boolean("resigned", out.resigned, Presence::optional);
    if (const auto leader = in.object("leader")) {
        Fields fields(*leader, "leader");
        fields.number("number", out.leader.number.value, 0, kWorkerNumberMax);
        fields.number("inc", out.leader.incarnation.value, 1);
        fields.session("session", out.leader.session);
        if (!fields.finish()) in.refuse(fields.problem());
    }
    in.number("slots", out.slots, 0, kWorkerNumberMax + 1);
    read_standbys(in, out.standbys);
    read_policy(in, out.policy);
    in.number("partition_count", out.partition_count, 0, kPartitionsMax);
    in.number("rebalanced", out.rebalanced, 0, std::numeric_limits<std::uint64_t>::max(), Presence::optional);
}

void read_packing(Fields& outer, Tape::Value value, Packing& out) {
    if (!value.is(Kind::object))
        return outer.refuse(outer.named("packed") + " is " + std::string(value.kind_name()) + "; it must be an object");
    Fields in(value, "packed");
    std::uint64_t size = 0;
    std::uint64_t bytes = 0;
    in.number("size", size, 0, kRecordBytesMax);
    in.number("bytes", bytes, 0, kRecordBytesMax);
    out.size = size;
    out.bytes = bytes;
    SessionId digest;  // as long, and written alike
    in.session("digest", digest);
    out.digest = {digest.high, digest.low};
    if (const auto set = in.text("set", Presence::optional)) {
        if (*set == "a") out.set = ChunkSet::a;
        else if (*set == "b") out.set = ChunkSet::b;
        else in.refuse(in.named("set") + " is " + quoted(*set) + "; it must be a or b");
        in.number("chunks", out.chunks, 1, kChunksMax);
    }
    if (!in.finish()) outer.refuse(in.problem());
}

// Everything but the lists. `packing`: set when the lists are packed.
void read_head(Fields& in, AssignmentRecord& out, std::optional<Packing>& packing) {
    read_id(in, out.id);
    in.number("epoch", out.fence.epoch.value, 1);
    in.number("version", out.fence.version);
    in.number("inc", out.incarnation.value);
    in.session("session", out.session, true);
    if (in.ok() && (out.incarnation.value == 0) != out.session.empty()) {
        in.refuse(in.named("inc") + " is " + std::to_string(out.incarnation.value) + " and " + in.named("session") + " is " +
                  (out.session.empty() ? "empty" : "not empty") +
                  "; a record for nobody has 0 and an empty session, any other neither");
    }
    in.boolean("keep_only", out.keep_only, Presence::optional);
    if (const auto packed = in.find("packed", Presence::optional)) read_packing(in, *packed, packing.emplace());
}

void read_lists(Fields& in, AssignmentRecord& out) {
    read_partitions(in, "partitions", out.partitions);
    read_partitions(in, "revoking", out.revoking);
}

// A packed record's own line, and what follows it. A plain record is one line, or several when somebody else wrote it.
std::pair<std::string_view, std::string_view> split_packed(std::string_view bytes) {
    constexpr std::size_t kHeadBytesMax = 4096;
    const std::size_t cut = bytes.substr(0, kHeadBytesMax).find('\n');
    if (cut == std::string_view::npos || bytes.substr(0, cut).find("\"packed\":") == std::string_view::npos) return {bytes, {}};
    return {bytes.substr(0, cut), bytes.substr(cut + 1)};
}

// Written by operators too: what is left out has its default.
void read(Fields& in, ControlRecord& out) {
    in.boolean("frozen", out.frozen, Presence::optional);
    if (const auto list = in.array("drain", Presence::optional)) {
        for (Tape::Value item = list->begin(); item != list->end(); item = item.next()) {
            const bool fits = item.is(Kind::text) && !item.text().empty() && item.text().size() <= base::kInstanceBytesMax;
            if (!fits || out.drain.size() == kDrainMax) {
                return in.refuse(in.named("drain") + " must hold sessions or instances: strings of 1.." +
                                 std::to_string(base::kInstanceBytesMax) + " bytes, at most " + std::to_string(kDrainMax));
            }
            out.drain.emplace_back(item.text());
        }
    }
    in.number("rebalance", out.rebalance, 0, std::numeric_limits<std::uint64_t>::max(), Presence::optional);
    in.number("refresh", out.refresh, 0, std::numeric_limits<std::uint64_t>::max(), Presence::optional);
}

RecordValue unreadable(Errc code, const Key& key, std::string_view why) {
    std::string detail = "record of key '" + to_string(key) + "': ";
    detail += why;
    return std::make_shared<const Unreadable>(Unreadable{{code, std::move(detail)}, code == Errc::future_record});
}

template <class Record>
RecordValue read_record(const Key& key, Fields& in, std::uint64_t major) {
    auto record = std::make_shared<Record>();
    if constexpr (requires { record->major; }) record->major = static_cast<std::uint32_t>(major);
    read(in, *record);
    if (!in.finish()) return unreadable(Errc::malformed_record, key, in.problem());
    return std::shared_ptr<const Record>(std::move(record));
}

// The lists of a packed record.
RecordValue read_packed(const Key& key, std::shared_ptr<AssignmentRecord> record, const Packing& packing, std::string_view blob) {
    const auto lists = unpack(blob, packing);
    if (!lists) return unreadable(Errc::malformed_record, key, lists.error().detail);
    const auto tape = Tape::parse(*lists);
    if (!tape) return unreadable(Errc::malformed_record, key, "its packed lists: " + tape.error().detail);
    if (!tape->root().is(Kind::object)) {
        return unreadable(Errc::malformed_record, key,
                          "its packed lists are " + std::string(tape->root().kind_name()) + "; a JSON object is required");
    }
    Fields in(tape->root());
    read_lists(in, *record);
    if (!in.finish()) return unreadable(Errc::malformed_record, key, "its packed lists: " + in.problem());
    return AssignmentPtr(std::move(record));
}

// `blob`: what followed the head, or the chunks.
RecordValue read_assignment(const Key& key, Fields& in, std::uint64_t major, std::string_view blob, bool chunked) {
    auto record = std::make_shared<AssignmentRecord>();
    record->major = static_cast<std::uint32_t>(major);
    std::optional<Packing> packing;
    read_head(in, *record, packing);
    if (!packing) read_lists(in, *record);
    if (!in.finish()) return unreadable(Errc::malformed_record, key, in.problem());
    if (!packing) return AssignmentPtr(std::move(record));
    if (chunked != (packing->set != ChunkSet::none)) {
        return unreadable(Errc::malformed_record, key,
                          chunked ? "it names no chunks" : "its lists are in chunks, which were not read");
    }
    return read_packed(key, std::move(record), *packing, blob);
}

struct Form {
    std::string_view blob;
    bool chunked = false;
};

RecordValue decode_form(Bucket bucket, const Key& key, std::string_view bytes, std::uint32_t reads, const Form& form) {
    if (bytes.empty()) return unreadable(Errc::malformed_record, key, "it is empty; a JSON object is required");
    if (bytes.size() > kRecordBytesMax) {
        return unreadable(
            Errc::malformed_record, key,
            "it has " + std::to_string(bytes.size()) + " bytes; at most " + std::to_string(kRecordBytesMax) + " are read");
    }
    const auto tape = Tape::parse(bytes);
    if (!tape) return unreadable(Errc::malformed_record, key, tape.error().detail);
    if (!tape->root().is(Kind::object)) {
        return unreadable(Errc::malformed_record, key,
                          "it is " + std::string(tape->root().kind_name()) + "; a JSON object is required");
    }
    Fields in(tape->root());
    std::uint64_t major = 0;
    in.number("v", major, 1);
    if (in.ok() && major > reads) {
        return unreadable(
            Errc::future_record, key,
            "field 'v' is " + std::to_string(major) + "; this version of parti reads up to " + std::to_string(reads));
    }
    if (bucket == Bucket::lease) {
        if (key.kind == Key::Kind::worker) return read_record<LeaseRecord>(key, in, major);
        return unreadable(Errc::malformed_record, key, "the lease bucket has no such key");
    }
    switch (key.kind) {
        case Key::Kind::worker: return read_assignment(key, in, major, form.blob, form.chunked);
        case Key::Kind::head: return read_record<HeadRecord>(key, in, major);
        case Key::Kind::control: return read_record<ControlRecord>(key, in, major);
    }
    return unreadable(Errc::malformed_record, key, "no such kind of key");
}

}  // namespace

RecordValue decode(Bucket bucket, const Key& key, std::string_view bytes) {
    return decode_up_to(kRecordMajor, bucket, key, bytes);
}

RecordValue decode_up_to(std::uint32_t reads, Bucket bucket, const Key& key, std::string_view bytes) {
    if (bucket != Bucket::assignment || key.kind != Key::Kind::worker) return decode_form(bucket, key, bytes, reads, {});
    const auto [head, blob] = split_packed(bytes);
    return decode_form(bucket, key, head, reads, {blob, false});
}

RecordValue decode_chunked(const Key& key, std::string_view bytes, std::string_view blob) {
    return decode_form(Bucket::assignment, key, bytes, kRecordMajor, {blob, true});
}

std::optional<Manifest> read_manifest(std::string_view bytes) {
    // Short, and its last field is "packed": asked of every message.
    constexpr std::size_t kBytesMax = 1024;
    if (bytes.size() > kBytesMax || bytes.find("\"packed\":") == std::string_view::npos) return std::nullopt;
    const auto tape = Tape::parse(bytes);
    if (!tape || !tape->root().is(Kind::object)) return std::nullopt;
    Fields in(tape->root());
    std::uint64_t major = 0;
    in.number("v", major, 1, kRecordMajor);
    AssignmentRecord record;
    std::optional<Packing> packing;
    read_head(in, record, packing);
    if (!in.finish() || !packing || packing->set == ChunkSet::none) return std::nullopt;
    return Manifest{record.id, *packing};
}

std::string to_string(const Key& key) {
    switch (key.kind) {
        case Key::Kind::worker: return "worker." + std::to_string(key.number.value);
        case Key::Kind::head: return "head";
        case Key::Kind::control: return "control";
    }
    return "unknown";
}

std::optional<Key> parse_key(Bucket bucket, std::string_view text) {
    if (bucket == Bucket::assignment && text == "head") return head_key();
    if (bucket == Bucket::assignment && text == "control") return control_key();
    constexpr std::string_view kPrefix = "worker.";
    if (text.substr(0, kPrefix.size()) != kPrefix) return {};
    const std::string_view digits = text.substr(kPrefix.size());
    if (digits.empty() || digits.size() > 5 || (digits.size() > 1 && digits[0] == '0')) return {};
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size() || number > kWorkerNumberMax) return {};
    return worker_key({number});
}

}  // namespace parti::wire
