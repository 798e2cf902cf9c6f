// Blocks of memory for what is found: columns while rows are on their way, and the block that numpy gets.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

namespace pellucid {

// Memory that goes back to the system when it is released. Large blocks ask for large pages: a page fault costs two
// microseconds on a virtual machine, which for pages of 4 KB is a fifth of the time of a run.
class Block {
  public:
    static constexpr size_t LARGE = size_t(2) << 20;

    Block() = default;
    explicit Block(size_t bytes) : Block(bytes, bytes) {}
    Block(size_t bytes, size_t in_large_pages) : size_(bytes ? bytes : 1) {
        if (size_ < LARGE / 2 || !map(in_large_pages)) data_ = static_cast<char*>(std::malloc(size_));
        if (!data_) throw std::bad_alloc();
    }
    Block(Block&& o) noexcept { swap(o); }
    Block& operator=(Block&& o) noexcept {
        Block gone(std::move(o));
        swap(gone);
        return *this;
    }
    ~Block() {
#if defined(__unix__) || defined(__APPLE__)
        if (mapped_) munmap(data_, mapped_);
#endif
        if (!mapped_) std::free(data_);
    }

    char* data() const { return data_; }
    size_t size() const { return size_; }

  private:
    char* data_ = nullptr;
    size_t size_ = 0, mapped_ = 0;

    void swap(Block& o) noexcept {
        std::swap(data_, o.data_);
        std::swap(size_, o.size_);
        std::swap(mapped_, o.mapped_);
    }

    bool map([[maybe_unused]] size_t in_large_pages) {
#if defined(__unix__) || defined(__APPLE__)
        const size_t length = (size_ + 4095) / 4096 * 4096, room = length + LARGE;
        void* start = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
        if (start == MAP_FAILED) return false;
        const size_t before = (LARGE - reinterpret_cast<uintptr_t>(start) % LARGE) % LARGE;  // large pages are aligned
        data_ = static_cast<char*>(start) + before;
        if (before) munmap(start, before);
        const size_t after = room - before - length;
        if (after) munmap(data_ + length, after);
        mapped_ = length;
#if defined(MADV_HUGEPAGE)
        const size_t wish = std::min(length, (in_large_pages + 4095) / 4096 * 4096);
        if (wish) madvise(data_, wish, MADV_HUGEPAGE);  // pages of the usual size do as well
#endif
        return true;
#else
        return false;
#endif
    }
};

inline size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

// A growing column handed to numpy without a copy. realloc moves large blocks by their pages, so growth does not double
// the memory.
template <class T>
struct Column {
    T* data = nullptr;
    size_t size = 0, capacity = 0;

    Column() = default;
    Column(Column&& o) noexcept { swap(o); }
    Column& operator=(Column&& o) noexcept {
        swap(o);
        return *this;
    }
    Column(const Column&) = delete;
    Column& operator=(const Column&) = delete;
    ~Column() { std::free(data); }

    void swap(Column& o) noexcept {
        std::swap(data, o.data);
        std::swap(size, o.size);
        std::swap(capacity, o.capacity);
    }
    T* more(size_t n) {  // room for n more values, counted as written
        if (size + n > capacity) resize_block(size + n + (size + n) / 2 + 64);
        size += n;
        return data + size - n;
    }
    void push(T value) { *more(1) = value; }
    void append(const Column& o) {
        if (o.size) std::memcpy(more(o.size), o.data, o.size * sizeof(T));
    }
    void shrink() {
        if (capacity > size + size / 16 + 64) resize_block(size ? size : 1);
    }
    size_t bytes() const { return size * sizeof(T); }

  private:
    void resize_block(size_t n) {
        T* block = static_cast<T*>(std::realloc(data, n * sizeof(T)));
        if (!block) throw std::bad_alloc();
        data = block;
        capacity = n;
    }
};

// One block for several columns: all(place) calls place(column, n) for each of them, the wide ones first. The narrow
// ones have small pages: while rows are copied, the page at the end of each column is not full.
template <class All>
Block lay_out(All all) {
    size_t size = 0, whole = 0, wide = 0;
    char* start = nullptr;
    auto place = [&](auto*& column, size_t n) {
        using T = std::remove_reference_t<decltype(*column)>;
        if (start) column = reinterpret_cast<T*>(start + size);
        size += aligned(n * sizeof(T));
        if (n * sizeof(T) > whole / 16) wide = size;
    };
    all(place);
    whole = size;
    size = wide = 0;
    all(place);
    Block block(size, wide);
    start = block.data();
    size = 0;
    all(place);
    return block;
}

template <class T>
void put(T* to, size_t at, const Column<T>& from, size_t n) {
    if (n) std::memcpy(to + at, from.data, n * sizeof(T));
}

// Hands out parts of large blocks, to one thread; each block goes back to the system with the last of its parts.
class Slabs {
  public:
    using Part = std::pair<std::shared_ptr<Block>, char*>;

    Part take(size_t bytes) {
        bytes = aligned(bytes);
        if (bytes > Block::LARGE / 2) {
            auto own = std::make_shared<Block>(bytes);
            return {own, own->data()};
        }
        if (!slab_ || used_ + bytes > slab_->size()) slab_ = std::make_shared<Block>(Block::LARGE), used_ = 0;
        used_ += bytes;
        return {slab_, slab_->data() + used_ - bytes};
    }

  private:
    std::shared_ptr<Block> slab_;
    size_t used_ = 0;
};

// Rows that wait for their turn: packed into slabs, or the columns that they were written to.
template <class R>
class Parcel {
  public:
    explicit Parcel(R&& rows) : view_(std::move(rows)) {}
    Parcel(R& rows, Slabs& slabs) {
        size_t size = 0;
        rows.each([&](auto& column) { size += aligned(column.bytes()); });
        auto [slab, at] = slabs.take(size);
        slab_ = std::move(slab);
        char* to = at;
        view_.both(rows, [&](auto& mine, auto& column) {
            mine.data = reinterpret_cast<decltype(mine.data)>(to);
            mine.size = column.size;
            if (column.size) std::memcpy(to, column.data, column.bytes());
            to += aligned(column.bytes());
        });
        rows.clear();
    }
    Parcel(Parcel&& o) noexcept : slab_(std::move(o.slab_)), view_(std::move(o.view_)) {}
    Parcel& operator=(Parcel&& o) noexcept {
        release();
        slab_ = std::move(o.slab_);
        view_ = std::move(o.view_);
        return *this;
    }
    ~Parcel() { release(); }

    R& open() { return view_; }  // to be read only

    void release() {
        if (slab_)
            view_.each([](auto& column) { column.data = nullptr; });
        else
            view_ = R{};
        slab_.reset();
    }

  private:
    std::shared_ptr<Block> slab_;
    R view_;
};

}  // namespace pellucid
