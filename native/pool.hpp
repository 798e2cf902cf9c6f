// Threads, budgets and the order of the output of one run.
//
// The caller's thread begins: a short run ends before another thread could have helped. When it takes longer, the
// threads asked for are started, the caller leaves them all its cells, and is free to look after signals and progress.
//
// Each thread walks its own cells depth first and shares nothing. A thread without work raises `hungry_`; the others
// look at that flag between cells and give away the cell at the bottom of their stack, the last one in their order and
// likely the largest.
//
// The walk is so cut into *segments*, each written by one thread. Segments stand in a list in the order of the walk;
// when a thread gives away its last pending cell, the segment of that cell goes right behind its own. Only the first
// unfinished segment (the *front*) may move its rows to the final columns, so the result has the same order, and the
// seams have the same numbers, however many threads there were. The others keep their rows until they come to the
// front, and where a budget may throw those rows away they wait when they are too far ahead. An output that needs no
// order takes rows as they come.
#pragma once
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "memory.hpp"

namespace pellucid {

struct Budget {
    int64_t max_rows = INT64_MAX, max_bytes = INT64_MAX;
    double max_seconds = INFINITY;
    int threads = 1;
};

// Task is what a segment starts from: a cell. Output holds the final columns:
//
//     Rows, Segment                rows on their way; a segment is made from its number `id`, and has `rows` and before
//                                  them `parcels`, which are made from rows and opened to rows
//     keeps_parcels                does it take parcels as they are, and wants them filled?
//     is_ordered()                 must rows be moved in the order of the walk?
//     rows(), bytes()              moved so far; rows(rows), bytes(rows): of these
//     move(rows or parcel, leave)  behind those there are, but for the last `leave`, which become unexplored rest
//     room(rows, budget)           how many of them still fit
//     begin(segment)               it has come to the front
//     add_rest(task), has_rest()   cells that were not explored
//     close(complete, threads)     the end
template <class Task, class Output>
class BasicPool {
    using Clock = std::chrono::steady_clock;
    using Rows = typename Output::Rows;

  public:
    using Segment = typename Output::Segment;
    using Work = std::function<void(BasicPool&)>;

    static constexpr size_t CHUNK = size_t(1) << 16;   // bytes of rows that a segment gathers before it moves them
    static constexpr size_t AHEAD = size_t(16) << 20;  // bytes of rows that may wait in a run with a budget of rows
    static constexpr double ALONE = 3e-4;  // seconds that the caller's thread works by itself: a thread takes .05 ms
    static constexpr double AWAKE = 1e-4;  // seconds that a thread looks out for work before it sleeps

    BasicPool(Budget budget, Output out) : output(std::move(out)), budget_(budget) {}
    ~BasicPool() {
        cancel("cancelled");
        join();
    }

    void start(std::unique_ptr<Task> root, Work work) {
        work_ = std::move(work);
        started_ = Clock::now();
        front_ = new_segment(std::move(root), nullptr);
        starter_ = std::this_thread::get_id();
        ++running_;
        ++busy_;  // next() takes it back
        run_thread();
    }

    // True when all is done.
    bool wait(double seconds) {
        std::unique_lock lock(mutex_);
        return end_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return done_; });
    }

    void cancel(const char* reason) {
        std::lock_guard lock(mutex_);
        stop(reason);
    }

    // The end: all threads joined, everything found in `output`.
    void finish() {
        join();
        if (error_) std::rethrow_exception(error_);
        if (!finished_) collect();
        finished_ = true;
    }

    // ---- for the threads
    // The next cell to start from, the earliest in the order; null when there will be none.
    std::unique_ptr<Task> next(Segment*& segment) {
        std::unique_lock lock(mutex_);
        --busy_;
        if (helped_ && std::this_thread::get_id() == starter_) {
            changed_.notify_all();
            return nullptr;
        }
        ++hungry_;
        for (bool has_looked = false;; has_looked = !has_looked) {
            if (stop_ || (busy_ == 0 && waiting_ == 0)) break;
            if (waiting_ > 0) {
                for (Piece* p = front_; p; p = p->after)
                    if (p->task) {
                        --waiting_;
                        --hungry_;
                        ++busy_;
                        segment = p;
                        return std::move(p->task);
                    }
            }
            if (has_looked) {
                changed_.wait(lock);
            } else {
                lock.unlock();
                look_out();
                lock.lock();
            }
        }
        changed_.notify_all();
        return nullptr;
    }

    void give(std::unique_ptr<Task> task, Segment* behind) {
        std::lock_guard lock(mutex_);
        new_segment(std::move(task), static_cast<Piece*>(behind));
        changed_.notify_all();
    }

    // All cells of the caller's thread, the last in their order first; at once, so that the others begin with the
    // earliest.
    void give_all(std::vector<std::unique_ptr<Task>> tasks, Segment* behind) {
        std::lock_guard lock(mutex_);
        for (auto& task : tasks) new_segment(std::move(task), static_cast<Piece*>(behind));
        changed_.notify_all();
    }

    void abandon(std::unique_ptr<Task> task) {
        std::lock_guard lock(mutex_);
        abandoned_.push_back(std::move(task));
    }

    // Somebody is idle for whom nothing lies ready: a sleeper who has not woken yet must not be given cell after cell.
    bool wants_work() const {
        return hungry_.load(std::memory_order_relaxed) > waiting_.load(std::memory_order_relaxed);
    }

    bool stopped() const { return stop_.load(std::memory_order_relaxed); }

    // Called now and then by a thread: moves rows on, looks at the budgets, calls for help. True for the caller's
    // thread when others are there: it must give them all its cells.
    bool poll(Segment* segment) {
        const double now = seconds();
        if (now > budget_.max_seconds) cancel("max_seconds");
        if (held(segment->rows) > CHUNK) flush(segment);
        return !helped_ && now > ALONE && call_for_help();
    }

    // Only the front may say that there are enough rows: then the rows kept do not depend on the threads.
    bool enough(const Segment* segment) {
        if (output.is_ordered() && front_id_.load(std::memory_order_relaxed) != segment->id) return false;
        const char* reason = nullptr;
        if (moved_rows_.load(std::memory_order_relaxed) + output.rows(segment->rows) >= budget_.max_rows)
            reason = "max_regions";
        else if (moved_bytes_.load(std::memory_order_relaxed) + output.bytes(segment->rows) >= budget_.max_bytes)
            reason = "max_bytes";
        if (reason) cancel(reason);
        return reason;
    }

    void end(Segment* segment) {
        if (output.is_ordered() && front_id_ != segment->id && held(segment->rows) > CHUNK / 16) {
            pack(segment);
            segment->rows = {};
        }
        std::lock_guard lock(mutex_);
        auto* piece = static_cast<Piece*>(segment);
        piece->finished = true;
        if (stop_) return;
        if (output.is_ordered()) return advance();
        move(piece);
        piece->rows = {};
    }

    double seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

    void add_share(double done) {  // fetch_add for double is not in every standard library yet
        double before = share.load(std::memory_order_relaxed);
        while (!share.compare_exchange_weak(before, before + done, std::memory_order_relaxed)) {
        }
    }

    std::atomic<int64_t> found{0};
    std::atomic<double> share{0.0};
    Output output;
    std::string reason() const { return reason_; }
    bool complete() const { return complete_; }
    const Budget& budget() const { return budget_; }

  private:
    struct Piece : Segment {
        using Segment::Segment;
        std::unique_ptr<Task> task;
        Piece* after = nullptr;
        bool finished = false;
    };

    const Budget budget_;
    Work work_;
    Clock::time_point started_;
    std::mutex mutex_;
    std::condition_variable changed_, end_;
    std::vector<std::thread> threads_;
    std::vector<std::unique_ptr<Piece>> pieces_;
    std::vector<std::unique_ptr<Task>> abandoned_;
    Piece* front_ = nullptr;
    std::atomic<int> busy_{0}, hungry_{0}, waiting_{0};  // threads at work, without; cells that nobody has taken yet
    bool helped_ = false, done_ = false, finished_ = false, complete_ = false;
    std::thread::id starter_;
    int running_ = 0;
    // Of each thread: rows that are written together also leave together.
    std::deque<std::pair<std::thread::id, Slabs>> slabs_;
    std::atomic<int64_t> ahead_{0};  // bytes of rows that are packed and have not come to the front
    std::atomic<bool> stop_{false};
    std::atomic<int64_t> front_id_{0}, moved_rows_{0}, moved_bytes_{0};
    std::string reason_;
    std::exception_ptr error_;

    // To wake up takes as long as some hundred cells.
    void look_out() const {
        const double until = seconds() + AWAKE;
        while (!stop_ && waiting_ == 0 && busy_ > 0 && seconds() < until) std::this_thread::yield();
    }

    Piece* new_segment(std::unique_ptr<Task> task, Piece* behind) {
        pieces_.push_back(std::make_unique<Piece>((int64_t)pieces_.size()));
        Piece* p = pieces_.back().get();
        p->task = std::move(task);
        if (behind) p->after = behind->after, behind->after = p;
        ++waiting_;
        return p;
    }

    void stop(const char* reason) {
        if (stop_ || done_) return;
        reason_ = reason;
        stop_ = true;
        changed_.notify_all();
    }

    void add_thread() {
        ++running_;
        ++busy_;  // next() takes it back
        try {
            threads_.emplace_back([this] { run_thread(); });
        } catch (...) {
            --running_;
            --busy_;
            throw;
        }
    }

    void run_thread() {
        try {
            work_(*this);
        } catch (...) {
            std::lock_guard lock(mutex_);
            if (!error_) error_ = std::current_exception();
            stop_ = true;
        }
        std::lock_guard lock(mutex_);
        if (--running_ == 0) done_ = true;
        changed_.notify_all();
        end_.notify_all();
    }

    // False where no thread is to be had: then the caller's goes on.
    bool call_for_help() {
        std::lock_guard lock(mutex_);
        if (stop_) return false;
        try {
            for (int i = 0; i < budget_.threads; ++i) {
                add_thread();
                helped_ = true;
            }
        } catch (const std::system_error&) {  // no more: go on with those there are
        }
        return helped_;
    }

    void join() {
        for (;;) {
            std::vector<std::thread> mine;
            {
                std::lock_guard lock(mutex_);
                mine.swap(threads_);
            }
            if (mine.empty()) return;
            for (auto& t : mine) t.join();
        }
    }

    void flush(Segment* segment) {
        if (Output::keeps_parcels) pack(segment);
        {
            std::unique_lock lock(mutex_);
            if (is_limited() && ahead_ > (int64_t)AHEAD)
                changed_.wait(lock, [&] {  // not for a front that nobody has taken yet
                    return stop_ || front_ == segment || front_->task || ahead_ <= (int64_t)AHEAD;
                });
            if (front_ == segment || !output.is_ordered()) {
                if (!stop_) move(static_cast<Piece*>(segment));
                return;
            }
        }
        if (!Output::keeps_parcels) pack(segment);
    }

    bool is_limited() const { return budget_.max_rows != INT64_MAX || budget_.max_bytes != INT64_MAX; }

    void pack(Segment* segment) {  // only the front's parcels are read by others
        ahead_ += (int64_t)held(segment->rows);
        segment->parcels.emplace_back(segment->rows, my_slabs());
    }

    Slabs& my_slabs() {
        std::lock_guard lock(mutex_);
        const auto me = std::this_thread::get_id();
        for (auto& [thread, slabs] : slabs_)
            if (thread == me) return slabs;
        return slabs_.emplace_back(me, Slabs{}).second;
    }

    // Moves all rows of a segment; false if that would break a budget: then the rest is left to collect().
    bool move(Piece* p) {
        for (; !p->parcels.empty(); p->parcels.pop_front()) {
            if (!fits(p->parcels.front().open())) return false;
            move(p->parcels.front(), 0);
        }
        if (!fits(p->rows)) return false;
        move(p->rows, 0);
        return true;
    }

    bool fits(Rows& rows) {
        if (output.room(rows, budget_) >= (size_t)output.rows(rows)) return true;
        stop(output.rows() + output.rows(rows) > budget_.max_rows ? "max_regions" : "max_bytes");
        return false;
    }

    void move(Rows& rows, size_t leave) {
        if (!output.rows(rows) && !rows.has_seams()) return;
        output.move(rows, leave);
        moved_rows_ = output.rows();
        moved_bytes_ = output.bytes();
    }
    void move(Parcel<Rows>& parcel, size_t leave) {
        ahead_ -= (int64_t)held(parcel.open());
        output.move(std::move(parcel), leave);
        moved_rows_ = output.rows();
        moved_bytes_ = output.bytes();
    }

    static size_t held(Rows& rows) {
        size_t bytes = 0;
        rows.each([&](auto& column) { bytes += column.bytes(); });
        return bytes;
    }

    // Moves finished segments at the front.
    void advance() {
        bool moved = false;
        while (front_ && front_->finished && front_->after && move(front_)) {
            front_->rows = {};
            front_ = front_->after;
            output.begin(*front_);
            front_id_ = front_->id;
            moved = true;
        }
        if (moved) changed_.notify_all();
    }

    void collect() {
        for (Piece* first = front_; front_; front_ = front_->after) {
            if (front_ != first) output.begin(*front_);
            for (; !front_->parcels.empty(); front_->parcels.pop_front())
                move(front_->parcels.front(), too_many(front_->parcels.front().open()));
            move(front_->rows, too_many(front_->rows));
            front_->rows = {};
            if (front_->task) output.add_rest(*front_->task);
        }
        for (auto& t : abandoned_) output.add_rest(*t);
        complete_ = !output.has_rest();
        if (complete_)
            reason_.clear();
        else if (reason_.empty())
            reason_ = budget_.max_bytes == INT64_MAX ? "max_regions" : "max_bytes";
        slabs_.clear();
        output.close(complete_, budget_.threads);
    }

    size_t too_many(const Rows& rows) const { return (size_t)output.rows(rows) - output.room(rows, budget_); }
};

}  // namespace pellucid
