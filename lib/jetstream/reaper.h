// Reaper: deletes the consumers of ended watches on the server, and does not forget one.
//
// Role      A watch's consumer delivers to the client's wildcard inbox, so for the server it never becomes idle while the client lives:
//           it must be deleted, also when the answer to its creation was lost or the link was down.
// Model     retire() asks for deletion until the server says done or not found, while the client lives. A delivery for a consumer that
//           was thought deleted (its creation was overtaken by the deletion) retires it again.
// Threads   The io thread.
#pragma once

#include <deque>
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
    void retire(const std::string& stream, const std::string& consumer, Token token);
    void on_orphan(Token token);
    // Calls done when nothing is left to delete, or after `limit`.
    void finish(Duration limit, std::function<void()> done);
    std::size_t left() const { return retired_.size(); }

private:
    struct Retired {
        std::string stream;
        Token token = 0;
        bool asked = false;
    };
    struct Deleted {
        Token token = 0;
        std::string stream;
        std::string consumer;
        Clock::time_point at;
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
    std::deque<Deleted> deleted_;  // the last ones
    std::function<void()> done_;
    bool retry_armed_ = false;
    bool finishing_ = false;
};

}  // namespace parti::jetstream
