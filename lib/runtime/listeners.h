// Listeners: who wants to hear of a source's changes.
//
// Model     add() gives the handle that keeps a listener; tell() calls all of them, one caller at a time so that they hear
//           changes in their order. Destroying a handle waits for a call of its listener that is under way.
// Errors    What a listener throws is caught; the others are told all the same.
// Threads   Any. A listener must not destroy its own handle.
// Lifetime  Handles may outlive the list.
#pragma once

#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <parti/source.h>

namespace parti::runtime {

class Listeners {
public:
    std::shared_ptr<void> add(Source::Listener listener) {
        auto entry = std::make_shared<Entry>();
        entry->listener = std::move(listener);
        {
            const std::lock_guard lock(shared_->mutex);
            shared_->entries.push_back(entry);
        }
        return {entry.get(), [entry, weak = std::weak_ptr(shared_)](void*) {
                    {
                        const std::lock_guard lock(entry->mutex);
                        entry->listener = nullptr;
                    }
                    if (const auto shared = weak.lock()) {
                        const std::lock_guard lock(shared->mutex);
                        shared->entries.remove(entry);
                    }
                }};
    }

    // Errors: callback_failed, what the last one of those that threw has thrown.
    Result<void> tell(const Result<std::shared_ptr<const PartitionSet>>& news) {
        std::list<std::shared_ptr<Entry>> entries;
        {
            const std::lock_guard lock(shared_->mutex);
            entries = shared_->entries;
        }
        Result<void> out;
        for (const auto& entry : entries) {
            const std::lock_guard lock(entry->mutex);
            try {
                if (entry->listener) entry->listener(news);
            } catch (const std::exception& error) {
                out = fail(Errc::callback_failed, std::string("a listener of the source threw: ") + error.what());
            } catch (...) {
                out = fail(Errc::callback_failed, "a listener of the source threw something that is not a std::exception");
            }
        }
        return out;
    }

private:
    struct Entry {
        std::mutex mutex;
        Source::Listener listener;
    };
    struct Shared {
        std::mutex mutex;
        std::list<std::shared_ptr<Entry>> entries;
    };
    const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace parti::runtime
