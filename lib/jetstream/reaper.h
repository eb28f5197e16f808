// Reaper: deletes the consumers of ended watches on the server, and does not forget one.
//
// Role      A consumer nobody listens to goes by itself after its inactive threshold; a deleted one goes now, and a long-lived
//           client that re-creates its watches leaves nothing behind meanwhile.
// Model     retire() asks for deletion, again and again while there is no answer, until the server says done or not found, or
//           for half a minute: a server that can neither make nor delete consumers must not be asked ever more.
// Threads   The io thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "jetstream/link.h"

namespace parti::jetstream {

class Reaper : public std::enable_shared_from_this<Reaper> {
public:
    explicit Reaper(std::shared_ptr<Link> link);
    void retire(const std::string& stream, const std::string& consumer);
    // Calls done when nothing is left to delete, or after `limit`.
    void finish(Duration limit, std::function<void()> done);
    std::size_t left() const { return retired_.size(); }

private:
    struct Retired {
        std::string stream;
        Clock::time_point give_up_at;
        bool asked = false;
    };
    void ask(const std::string& consumer);
    void answered(const std::string& consumer, const Result<Message>& answer);
    void gone(const std::string& consumer);
    void schedule();
    void complete();

    std::shared_ptr<Link> link_;
    boost::asio::steady_timer retry_;
    boost::asio::steady_timer limit_;
    std::map<std::string, Retired> retired_;
    std::function<void()> done_;
    bool retry_armed_ = false;
    bool finishing_ = false;
};

}  // namespace parti::jetstream
