// A disk in memory: empty at the start, gone at the end.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nacre/block_driver.hpp>

namespace {

using namespace nacre::sdk;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_SIZE, .name = "size", .help = "of the disk", .default_text = "64M", .min = 512},
};

class @Class@ : public BlockDriver {
 public:
  using BlockDriver::BlockDriver;
  ~@Class@() override {
    if (bytes_) ::munmap(bytes_, size_);
  }

  Status realize(nacre_error*) override {
    size_ = u64("size").value_or(0);
    if (size_ % 512) return fail("size must be a multiple of 512 bytes, a disk's sector");
    // Pages come into being when they are written.
    void* mapped = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return fail("there is no room for a disk of that size: ", std::strerror(errno));
    bytes_ = static_cast<uint8_t*>(mapped);
    return {};
  }
  void info(nacre_block_info& info) const override {
    info.capacity = size_;
    info.alignment = 1;
    info.discard = info.write_zeroes = 1;
  }
  void submit(std::span<nacre_block_request* const> requests) override {
    for (nacre_block_request* request : requests) request->status = serve(*request);
    complete(requests);
  }

 private:
  // The host lets through only what is inside the disk.
  nacre_status serve(const nacre_block_request& request) {
    uint8_t* at = bytes_ + request.offset;
    switch (request.op) {
      case NACRE_BLOCK_READ:
      case NACRE_BLOCK_WRITE:
        for (const iovec& part : std::span(request.iov, request.n_iov)) {
          const bool read = request.op == NACRE_BLOCK_READ;
          std::memcpy(read ? part.iov_base : at, read ? at : part.iov_base, part.iov_len);
          at += part.iov_len;
        }
        return NACRE_OK;
      case NACRE_BLOCK_FLUSH:
        return NACRE_OK;
      case NACRE_BLOCK_DISCARD:
      case NACRE_BLOCK_WRITE_ZEROES:
        clear(request.offset, request.offset + request.length);
        return NACRE_OK;
      default:
        return NACRE_UNSUPPORTED;
    }
  }

  // Whole pages go back to the system.
  void clear(uint64_t begin, uint64_t end) {
    const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const uint64_t first = (begin + page - 1) / page * page, last = end / page * page;
    if (first >= last || ::madvise(bytes_ + first, last - first, MADV_DONTNEED) < 0) {
      std::memset(bytes_ + begin, 0, end - begin);
      return;
    }
    std::memset(bytes_ + begin, 0, first - begin);
    std::memset(bytes_ + last, 0, end - last);
  }

  uint64_t size_ = 0;
  uint8_t* bytes_ = nullptr;
};

constexpr nacre_type kType = block_type<@Class@>("@name@", "a disk in memory", kProps);

}  // namespace

NACRE_PLUGIN(&kType);
