// A virtio block device (virtio 1.2 §5.2), read-only, whose disk is a file on a web server.
#include <nacre/loop.hpp>
#include <nacre/virtio_device.hpp>
#include <nacre/virtqueue.hpp>

#include "fetcher.hpp"

namespace http_disk {
namespace {

using namespace nacre::sdk;

constexpr uint32_t kDeviceId = 2;
constexpr uint16_t kQueueSize = 128;
constexpr uint64_t kSector = 512;
constexpr char kSerial[20] = "http-disk";
enum Feature : unsigned { kSegMax = 2, kReadOnly = 5 };  // §5.2.3
enum Type : uint32_t { kIn = 0, kOut = 1, kGetId = 8 };  // §5.2.6
enum Outcome : uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };

struct Header {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
struct Config {  // §5.2.4, its beginning
  uint64_t capacity;
  uint32_t size_max;
  uint32_t seg_max;
};

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_STRING,
     .flags = NACRE_PROP_REQUIRED,
     .name = "url",
     .help = "the image: http://HOST[:PORT]/PATH",
     .max = 2048},
    {.type = NACRE_PROP_U64,
     .name = "timeout",
     .help = "how many milliseconds the server may be silent",
     .default_text = "5000",
     .min = 1,
     .max = 600000},
};

// A request of the guest, from its chain to its answer.
struct Request : Job {
  uint16_t head = 0;
  uint8_t* status = nullptr;
  iovec buffers[kQueueSize];
};

class HttpDisk : public VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;

  Status realize(nacre_error* slot) override {
    Result<Url> url = Url::parse(text("url"));
    if (!url) return url.error();
    client_ = std::make_unique<HttpClient>(*url, static_cast<int>(*u64("timeout")));
    Result<uint64_t> size = client_->open();
    if (!size) return size.error();
    sectors_ = *size / kSector;
    if (sectors_ == 0) return fail("'", url->text, "' is no disk: it has less than 512 bytes.");

    const Config config{sectors_, 0, kQueueSize - 2};
    const uint64_t features = bit(kVirtioRingIndirectDesc) | bit(kVirtioRingEventIdx) | bit(kSegMax) | bit(kReadOnly);
    return attach(kDeviceId, features, {&kQueueSize, 1}, {reinterpret_cast<const uint8_t*>(&config), sizeof config},
                  slot);
  }

  void unrealize() override {
    detach();
    client_.reset();
  }

  Status activate(const VirtioActivation& driver, nacre_error* slot) override {
    const nacre_virtqueue& queue = driver.queue(0);
    if (!queue.ready) return {};
    client_->resume();
    memory_ = host.memory->acquire(instance());
    nacre_loop* loop = host.loop->of(instance());
    Status started = fail("a queue of the driver is not in memory");
    if (ring_.start(queue, MemoryView(memory_), driver.features())) {
      requests_ = std::make_unique<Request[]>(queue.num);
      for (uint16_t i = 0; i < queue.num; ++i) free_.push_back(&requests_[i]);
      fetcher_ = std::make_unique<Fetcher>(*client_, instance(), loop, on_done, this);
      started = kick_.start(loop, queue.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE, on_kick, this, slot);
    }
    if (!started) deactivate();
    return started;
  }

  void deactivate() override {
    kick_.stop();
    client_->interrupt();  // the thread waits for the server no longer
    fetcher_.reset();
    free_.clear();
    requests_.reset();
    in_flight_ = 0;
    if (memory_) host.memory->release(instance(), std::exchange(memory_, nullptr));
    settled();
  }

  void quiesce(nacre_callback done, void* opaque) override {
    quiesced_ = true;
    done_ = done;
    done_opaque_ = opaque;
    if (in_flight_ == 0) settled();
  }
  void resume() override {
    quiesced_ = false;
    if (fetcher_) take_requests();
  }

 private:
  static constexpr uint64_t bit(unsigned n) { return uint64_t{1} << n; }
  static void on_kick(void* self) noexcept { static_cast<HttpDisk*>(self)->take_requests(); }
  static void on_done(void* self) noexcept { static_cast<HttpDisk*>(self)->give_answers(); }

  // [loop] Nothing is in flight: whoever waits for that is told.
  void settled() {
    if (nacre_callback done = std::exchange(done_, nullptr)) done(done_opaque_);
  }

  // [loop]
  void take_requests() {
    while (!quiesced_ && !free_.empty()) {
      Request& request = *free_.back();
      DescriptorChain chain;
      const Virtqueue::Pop popped = ring_.pop(chain, request.buffers, kQueueSize);
      if (popped == Virtqueue::Pop::Empty) {
        if (!ring_.rearm()) break;
        continue;
      }
      request.status = popped == Virtqueue::Pop::Chain ? chain.writable.take_last_byte() : nullptr;
      Header header;
      if (!request.status || !chain.readable.take_front(&header, sizeof header)) {
        kick_.stop();
        return needs_reset(ring_.broken() ? ring_.broken() : "a request without a header or a status byte");
      }
      free_.pop_back();
      request.head = chain.head;
      begin(request, header, chain.writable);
    }
    ring_.publish();
  }

  void begin(Request& request, const Header& header, IoVector& room) {
    const uint64_t length = room.length();
    switch (header.type) {
      case kIn:
        if (length % kSector || header.sector > sectors_ || length / kSector > sectors_ - header.sector)
          return answer(request, kIoError, 0);
        if (length == 0) return answer(request, kOk, 0);
        request.offset = header.sector * kSector;
        request.length = length;
        request.to.assign(room.data(), room.data() + room.count());
        ++in_flight_;
        return fetcher_->submit(request);
      case kGetId:
        return answer(request, kOk, static_cast<uint32_t>(room.put_front(kSerial, sizeof kSerial)));
      case kOut:
        return answer(request, kIoError, 0);  // the driver knows that the disk is read-only
      default:
        return answer(request, kUnsupported, 0);
    }
  }

  void answer(Request& request, Outcome outcome, uint32_t written) {
    *request.status = outcome;
    ring_.push(request.head, written + 1);
    free_.push_back(&request);
  }

  // [loop] The fetcher is done with some. It may be another than the one that has asked for this call.
  void give_answers() {
    if (!fetcher_) return;
    for (Job* job : fetcher_->take_done()) {
      --in_flight_;
      answer(static_cast<Request&>(*job), job->good ? kOk : kIoError,
             job->good ? static_cast<uint32_t>(job->length) : 0);
    }
    ring_.publish();
    if (in_flight_ == 0) settled();
    take_requests();
  }

  uint64_t sectors_ = 0;
  std::unique_ptr<HttpClient> client_;
  const nacre_memory_view* memory_ = nullptr;
  Virtqueue ring_;
  std::unique_ptr<Request[]> requests_;
  std::vector<Request*> free_;
  std::unique_ptr<Fetcher> fetcher_;
  Watch kick_;
  size_t in_flight_ = 0;
  bool quiesced_ = false;
  nacre_callback done_ = nullptr;
  void* done_opaque_ = nullptr;
};

constexpr nacre_type kType = device_type<HttpDisk>("http-disk", "virtio", "a disk that is a file on a web server",
                                                   kProps, NACRE_TYPE_HOTPLUGGABLE);

}  // namespace
}  // namespace http_disk

NACRE_PLUGIN(&http_disk::kType);
