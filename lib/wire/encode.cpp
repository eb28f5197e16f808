// Records -> bytes. Pieces are appended by hand: a lease is written once per heartbeat and worker, and the simulation writes
// millions.
#include "base/assert.h"
#include "wire/codec.h"
#include "wire/json_text.h"

namespace parti::wire {

namespace {

constexpr char kDigits[] = "0123456789abcdef";

class Writer {
public:
    explicit Writer(std::size_t bytes) { out_.reserve(bytes); }
    std::string take() { return std::move(out_); }

    void raw(std::string_view piece) { out_ += piece; }
    void number(std::uint64_t value) { append_json(out_, value); }
    void hex(std::uint64_t value) {
        char buffer[16];
        for (unsigned i = 0; i < 16; ++i) buffer[i] = kDigits[(value >> (60U - 4U * i)) & 0xfU];
        out_.append(buffer, sizeof buffer);
    }
    void session(const SessionId& id) {
        out_ += '"';
        if (!id.empty()) {
            hex(id.high);
            hex(id.low);
        }
        out_ += '"';
    }
    void text(std::string_view value) { append_json(out_, value); }
    void id(std::uint32_t major, const WriteId& value) {
        raw(R"({"v":)");
        number(major);
        raw(R"(,"w":)");
        session(value.writer);
        raw(R"(,"s":)");
        number(value.sequence);
    }
    void partitions(const std::vector<Partition>& list) {
        out_ += '[';
        bool first = true;
        for (const Partition& partition : list) {
            if (!first) out_ += ',';
            first = false;
            if (partition.weight() == 1) {
                text(partition.id());
                continue;
            }
            out_ += '[';
            text(partition.id());
            out_ += ',';
            number(static_cast<std::uint64_t>(partition.weight()));
            out_ += ']';
        }
        out_ += ']';
    }

private:
    std::string out_;
};

std::size_t bytes_of(const std::vector<Partition>& partitions) {
    std::size_t bytes = 0;
    for (const Partition& partition : partitions) bytes += partition.id().size() + (partition.weight() == 1 ? 3 : 12);
    return bytes;
}

std::string encode(const LeaseRecord& lease) {
    Writer out(256 + lease.instance.size() + lease.zone.size());
    out.id(kRecordMajorOldest, lease.id);
    out.raw(R"(,"inc":)");
    out.number(lease.incarnation.value);
    out.raw(R"(,"session":)");
    out.session(lease.session);
    out.raw(R"(,"state":)");
    out.text(to_string(lease.state));
    if (!lease.instance.empty()) {
        out.raw(R"(,"instance":)");
        out.text(lease.instance);
    }
    out.raw(R"(,"process":")");
    out.hex(lease.process);
    out.raw(R"(","applied":[)");
    out.number(lease.applied.epoch.value);
    out.raw(",");
    out.number(lease.applied.version);
    out.raw(R"(],"floor":)");
    out.number(lease.floor.value);
    out.raw(R"(,"capacity":)");
    out.number(lease.capacity);
    if (!lease.zone.empty()) {
        out.raw(R"(,"zone":)");
        out.text(lease.zone);
    }
    if (lease.speaks != kRecordMajorOldest) {
        out.raw(R"(,"speaks":)");
        out.number(lease.speaks);
    }
    if (lease.silence_ms != 0) {
        out.raw(R"(,"silence":)");
        out.number(lease.silence_ms);
    }
    out.raw("}");
    return out.take();
}

std::string encode(const HeadRecord& head) {
    Writer out(320 + 6 * head.standbys.size());
    out.id(head.major, head.id);
    out.raw(R"(,"epoch":)");
    out.number(head.epoch.value);
    out.raw(R"(,"version":)");
    out.number(head.version);
    out.raw(head.resigned ? R"(,"resigned":true,"leader":{"number":)" : R"(,"resigned":false,"leader":{"number":)");
    out.number(head.leader.number.value);
    out.raw(R"(,"inc":)");
    out.number(head.leader.incarnation.value);
    out.raw(R"(,"session":)");
    out.session(head.leader.session);
    out.raw(R"(},"slots":)");
    out.number(head.slots);
    out.raw(R"(,"standbys":[)");
    for (std::size_t i = 0; i < head.standbys.size(); ++i) {
        if (i > 0) out.raw(",");
        out.number(head.standbys[i].value);
    }
    out.raw(R"(],"policy":)");
    out.text(to_string(head.policy));
    out.raw(R"(,"partition_count":)");
    out.number(head.partition_count);
    if (head.rebalanced != 0) {
        out.raw(R"(,"rebalanced":)");
        out.number(head.rebalanced);
    }
    out.raw("}");
    return out.take();
}

void append_head(Writer& out, const AssignmentRecord& record) {
    out.id(record.major, record.id);
    out.raw(R"(,"epoch":)");
    out.number(record.fence.epoch.value);
    out.raw(R"(,"version":)");
    out.number(record.fence.version);
    out.raw(R"(,"inc":)");
    out.number(record.incarnation.value);
    out.raw(R"(,"session":)");
    out.session(record.session);
    if (record.keep_only) out.raw(R"(,"keep_only":true)");
}

void append_lists(Writer& out, const AssignmentRecord& record) {
    out.raw(R"("partitions":)");
    out.partitions(record.partitions);
    out.raw(R"(,"revoking":)");
    out.partitions(record.revoking);
    out.raw("}");
}

std::string encode(const AssignmentRecord& record) {
    Writer out(256 + bytes_of(record.partitions) + bytes_of(record.revoking));
    append_head(out, record);
    out.raw(",");
    append_lists(out, record);
    return out.take();
}

std::string encode(const ControlRecord& control) {
    Writer out(128);
    out.raw(control.frozen ? R"({"v":1,"frozen":true,"drain":[)" : R"({"v":1,"frozen":false,"drain":[)");
    for (std::size_t i = 0; i < control.drain.size(); ++i) {
        if (i > 0) out.raw(",");
        out.text(control.drain[i]);
    }
    out.raw(R"(],"rebalance":)");
    out.number(control.rebalance);
    out.raw(R"(,"refresh":)");
    out.number(control.refresh);
    out.raw("}");
    return out.take();
}

}  // namespace

std::string encode(const RecordValue& record) {
    if (const auto* lease = std::get_if<LeasePtr>(&record)) return encode(**lease);
    if (const auto* head = std::get_if<HeadPtr>(&record)) return encode(**head);
    if (const auto* assignment = std::get_if<AssignmentPtr>(&record)) return encode(**assignment);
    const auto* control = std::get_if<ControlPtr>(&record);
    PARTI_ASSERT(control != nullptr && "only records have bytes");
    return encode(**control);
}

Result<Packed> pack_lists(const AssignmentRecord& record) {
    Writer out(64 + bytes_of(record.partitions) + bytes_of(record.revoking));
    out.raw("{");
    append_lists(out, record);
    return pack(out.take());
}

std::string encode_head(const AssignmentRecord& record, const Packing& packing) {
    Writer out(512);
    append_head(out, record);
    out.raw(R"(,"packed":{"size":)");
    out.number(packing.size);
    out.raw(R"(,"bytes":)");
    out.number(packing.bytes);
    out.raw(R"(,"digest":")");
    out.raw(to_string(packing.digest));
    if (packing.set == ChunkSet::none) {
        out.raw("\"}}\n");
        return out.take();
    }
    out.raw(packing.set == ChunkSet::a ? R"(","set":"a","chunks":)" : R"(","set":"b","chunks":)");
    out.number(packing.chunks);
    out.raw("}}");
    return out.take();
}

}  // namespace parti::wire
