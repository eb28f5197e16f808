// Poster and IoThread: the context's one io thread, and the way to it that stays safe after it has ended.
//
// Model     Whoever may outlive the context (release handles of users, nats.c's callbacks, listeners of sources) holds a Poster.
//           Once it is closed, what is posted is dropped.
// Threads   post() from any thread; in order per posting thread.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace parti::runtime {

class Poster {
public:
    explicit Poster(boost::asio::io_context& io) : io_(&io) {}
    // False: closed, the function was dropped.
    bool post(std::function<void()> function);
    void close();

private:
    std::mutex mutex_;
    boost::asio::io_context* io_;
};

class IoThread {
public:
    IoThread();
    ~IoThread();                              // stop()
    void start(std::function<void()> first);  // runs on the thread before anything else
    void stop();                              // joins; what is still queued does not run

    boost::asio::io_context& io() { return io_; }
    const std::shared_ptr<Poster>& poster() const { return poster_; }

private:
    boost::asio::io_context io_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::shared_ptr<Poster> poster_;
    std::thread thread_;
};

inline constexpr const char* kIoThread = "parti-io";
void name_this_thread(const char* name);  // at most 15 characters

}  // namespace parti::runtime
