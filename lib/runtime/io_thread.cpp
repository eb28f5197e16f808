#include "runtime/io_thread.h"

#include <pthread.h>

#include <boost/asio/post.hpp>

#include <utility>

namespace parti::runtime {

bool Poster::post(std::function<void()> function) {
    const std::lock_guard lock(mutex_);
    if (io_ == nullptr) return false;
    boost::asio::post(*io_, std::move(function));
    return true;
}

void Poster::close() {
    const std::lock_guard lock(mutex_);
    io_ = nullptr;
}

IoThread::IoThread() : work_(boost::asio::make_work_guard(io_)), poster_(std::make_shared<Poster>(io_)) {}

IoThread::~IoThread() { stop(); }

void IoThread::start(std::function<void()> first) {
    thread_ = std::thread([this, run_first = std::move(first)] {
        name_this_thread(kIoThread);
        run_first();
        io_.run();
    });
}

void IoThread::stop() {
    poster_->close();
    work_.reset();
    io_.stop();
    if (thread_.joinable()) thread_.join();
}

void name_this_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace parti::runtime
