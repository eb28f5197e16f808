// Listeners: who wants to hear of a source's changes.
//
// Model     add() gives the handle that keeps a listener; tell() calls all of them, one caller at a time so that they hear
//           changes in their order. Destroying a handle waits for a call of its listener that is under way.
// Threads   Any. A listener must not destroy its own handle.
// Lifetime  Handles may outlive the list.
#pragma once

#include <list>
#include <memory>
#include <mutex>
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

    void tell(const Result<std::shared_ptr<const PartitionSet>>& news) {
        std::list<std::shared_ptr<Entry>> entries;
        {
            const std::lock_guard lock(shared_->mutex);
            entries = shared_->entries;
        }
        for (const auto& entry : entries) {
            const std::lock_guard lock(entry->mutex);
            if (entry->listener) entry->listener(news);
        }
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
