#include "runtime/source_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/context_impl.h"

namespace parti::runtime {

namespace {

bool within_limits(const PartitionSet& set) {
    std::size_t bytes = 0;
    for (const Partition& partition : set) bytes += partition.id().size();
    return set.size() <= kPartitionsMax && bytes <= kPartitionBytesMax;
}

// Sorted, unique and within the limits, as all that rests on the set assumes; an error names what is not.
PartitionNews in_order(const PartitionNews& news) {
    if (!news || *news == nullptr) return news;
    const PartitionSet& set = **news;
    const auto disorder =
        std::adjacent_find(set.begin(), set.end(), [](const Partition& a, const Partition& b) { return !(a < b); });
    if (disorder == set.end() && within_limits(set)) return news;
    return make_partition_set(set);
}

// User code: may throw, may return nothing, may return what is not sorted.
PartitionNews list_of(Source& source, bool refresh) {
    try {
        PartitionNews loaded = refresh ? source.refresh() : source.list();
        if (loaded && *loaded == nullptr) return fail(Errc::invalid_argument, "the source returned no list (null)");
        return in_order(loaded);
    } catch (const std::exception& error) {
        return fail(Errc::callback_failed, std::string("the source threw: ") + error.what());
    } catch (...) {
        return fail(Errc::callback_failed, "the source threw something that is not a std::exception");
    }
}

bool same(const std::weak_ptr<SourceUser>& a, const std::weak_ptr<SourceUser>& b) {
    return !a.owner_before(b) && !b.owner_before(a);
}

template <class F>
void post_to(const std::shared_ptr<Poster>& poster, std::weak_ptr<SourceReader> reader, F function) {
    poster->post([weak = std::move(reader), call = std::move(function)]() mutable {
        if (const auto self = weak.lock()) call(*self);
    });
}

}  // namespace

SourceReader::SourceReader(ContextImpl& context, std::shared_ptr<Source> source, Duration limit)
    : context_(context), source_(std::move(source)), limit_(limit), told_(std::make_shared<std::atomic<std::uint64_t>>(0)) {}

SourceReader::~SourceReader() {
    if (!handle_) return;
    // Ending a handle is user code; the queue ends with its last task.
    CallbackTask task;
    task.kind = "Source::listen";
    task.run = [handle = std::move(handle_), source = source_]() mutable { handle.reset(); };
    context_.executor().submit(queue_, std::move(task));
}

void SourceReader::make_queue() { queue_ = context_.executor().make_queue(limit_, weak_from_this()); }

void SourceReader::join(std::weak_ptr<SourceUser> user) {
    std::erase_if(users_, [](const auto& other) { return other.expired(); });
    users_.push_back(std::move(user));
}

void SourceReader::ask(const std::weak_ptr<SourceUser>& user, bool refresh) {
    refresh_ = refresh_ || refresh;
    const auto waits = [&user](const auto& other) { return same(user, other); };
    if (std::none_of(waiting_.begin(), waiting_.end(), waits)) waiting_.push_back(user);
    if (!calling_) call();
}

void SourceReader::call() {
    if (!queue_) make_queue();
    calling_ = true;
    asking_ = std::exchange(waiting_, {});
    CallbackTask task;
    task.kind = "Source::list";
    task.run = [weak = weak_from_this(), poster = context_.poster(), source = source_, told = told_,
                listen = !std::exchange(listened_, true), refresh = std::exchange(refresh_, false)] {
        if (listen) {
            std::shared_ptr<void> handle;
            std::string threw;
            try {
                handle = source->listen([weak, poster, told](const PartitionNews& given) {
                    if (given && *given == nullptr) return;  // nothing was told
                    PartitionNews news = in_order(given);
                    if (news) told->fetch_add(1);
                    post_to(poster, weak, [news = std::move(news)](SourceReader& self) { self.told(news); });
                });
            } catch (const std::exception& error) {
                threw = std::string("the source's listen() threw: ") + error.what();
            } catch (...) {
                threw = "the source's listen() threw something that is not a std::exception";
            }
            if (!threw.empty()) {  // from now on a source that cannot tell
                post_to(poster, weak,
                        [what = std::move(threw) + "; its changes are heard on refresh_partitions() only"](SourceReader& self) {
                            self.told(fail(Errc::callback_failed, what));
                        });
            }
            post_to(poster, weak, [held = std::move(handle)](SourceReader& self) mutable { self.listening(std::move(held)); });
        }
        const std::uint64_t before = told->load();
        PartitionNews loaded = list_of(*source, refresh);
        post_to(poster, weak, [news = std::move(loaded), before](SourceReader& self) { self.answered(news, before); });
    };
    context_.executor().submit(queue_, std::move(task));
    context_.callbacks_waiting(limit_);
}

void SourceReader::listening(std::shared_ptr<void> handle) { handle_ = std::move(handle); }

void SourceReader::answered(const PartitionNews& news, std::uint64_t told_before) {
    calling_ = false;
    const Users asking = std::exchange(asking_, {});
    const auto self = shared_from_this();
    if (!news || told_->load() == told_before) tell(asking, news, true);  // else what the source told meanwhile is newer
    if (!waiting_.empty() && !calling_) call();
}

void SourceReader::told(const PartitionNews& news) {
    const auto self = shared_from_this();
    const Users users = users_;
    tell(users, news, false);
}

void SourceReader::tell(const Users& users, const PartitionNews& news, bool asked) {
    for (const auto& weak : users) {
        if (const auto user = weak.lock()) user->partitions_told(news, asked);
    }
}

void SourceReader::callback_stuck(const char* kind, const Subject&, Duration age, bool replaced) {
    const auto ms = [](Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); };
    const Error error{
        Errc::callback_failed,
        fmt::format("{} has not returned for {} ms (allowed are {} ms); its thread is written off {}; the partitions "
                    "known before stay",
                    kind, ms(age), ms(limit_), replaced ? "and replaced" : "and not replaced: too many were")};
    context_.log()->print(LogLevel::error, "{}", error.message());
    told(tl::unexpected(error));
}

}  // namespace parti::runtime
