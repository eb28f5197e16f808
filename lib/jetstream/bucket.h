// EnsureBucket: creates or checks one KV bucket, within a time limit.
//
// Role      One operation: look, create when absent, compare; repeats what may pass (no leader, link down, lost answers) until
//           the limit.
// Model     Looking comes first and creation is repeated as looking, so two creators end at one stream and both compare it.
// Errors    As Client::ensure_bucket. The last passing error is the answer when the limit is reached.
// Threads   The io thread. The handler is called exactly once and never from inside start().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "jetstream/link.h"
#include "jetstream/server_version.h"

namespace parti::jetstream {

class EnsureBucket : public std::enable_shared_from_this<EnsureBucket> {
public:
    using Handler = std::function<void(Result<BucketInfo>)>;
    EnsureBucket(std::shared_ptr<Link> link, BucketSpec spec, Duration timeout, Handler handler);
    void start();
    void abort();

private:
    using Step = void (EnsureBucket::*)(Result<Message>);
    void ask(const std::string& subject, const std::string& body, Step next);
    void check_version();
    void on_account_info(Result<Message> answer);
    void on_version(Result<Version> version);
    void look();
    void on_looked(Result<Message> answer);
    void on_created(Result<Message> answer);
    void accept(const Message& answer);
    void retry(Error why);
    void finish(Result<BucketInfo> result);

    std::shared_ptr<Link> link_;
    BucketSpec spec_;
    std::string stream_;
    Clock::time_point deadline_;
    Handler handler_;
    boost::asio::steady_timer timer_;
    Duration request_timeout_ = std::chrono::milliseconds(500);
    Duration pause_ = std::chrono::milliseconds(50);
    std::optional<Clock::time_point> no_responders_since_;
    int overlaps_ = 0;
    bool version_checked_ = false;
    bool created_ = false;
};

}  // namespace parti::jetstream
