// The controller behind the registers: queues, commands, the disk. Everything here is on the device's loop.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <nacre/block.hpp>
#include <optional>
#include <string>

#include "nvme.hpp"
#include "prp.hpp"

namespace nvme {

// Doorbells, which vCPUs write and the controller reads (§3.1.24, §3.1.25).
struct Doorbells {
  std::array<std::atomic<uint32_t>, 1 + kIoQueues> sq_tail{}, cq_head{};
};

class Controller {
 public:
  // What the controller needs of its device.
  class Host {
   public:
    // The completion queue of this vector has got something.
    virtual void interrupt(uint32_t vector) = 0;
    // Has serve() called again soon.
    virtual void wake() = 0;
    // The controller cannot go on (§9.5).
    virtual void fatal() = 0;
    virtual void shut_down() = 0;

   protected:
    ~Host() = default;
  };

  Controller(Host& host, Doorbells& doorbells, nacre::sdk::Block& disk);
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // Of the disk, once it is open. `serial` is what the guest reads, of at most 20 characters.
  void describe(const nacre_block_info& disk, const std::string& serial);
  // With the admin queues where AQA, ASQ and ACQ say; false for what cannot be. `memory` lives until stop().
  bool start(const nacre::sdk::MemoryView& memory, uint32_t aqa, uint64_t asq, uint64_t acq);
  // Nothing is in flight and no queue is left once it has returned.
  void stop();
  bool started() const { return started_; }
  // Has what was written reach the disk, and says shut_down().
  void begin_shutdown();

  // Takes the commands that the doorbells tell of, and shows the driver what is done. Ends whatever the guest does
  // meanwhile: with what is left it has itself woken.
  void serve();
  // The disk is done with one of the controller's requests; serve() follows after a batch of those.
  static void completed(nacre_block_request* request);
  // Whether a completion waits for the driver in a queue that interrupts; for INTx.
  bool has_completions() const;

 private:
  struct Request {
    nacre_block_request raw;  // first
    Controller* controller;
    Request* next;
    uint16_t sq, cq, id, status;
    bool sync;  // of a write: a flush follows (FUA)
    uint32_t result;
    std::array<iovec, kMostPages> parts;
  };
  struct Cq {
    uint64_t base;
    uint32_t size, tail, vector;
    bool interrupts, phase;
    Request *first, *last;  // completions that wait for room
  };
  struct Sq {
    uint64_t base;
    uint32_t size, head;
    uint16_t cq;
  };

  static constexpr uint32_t kRequests = 128;

  void take(uint16_t sq);
  bool publish();
  bool commands_wait() const;
  void fail();
  void drop(std::optional<Cq>& cq);
  // The status, or nothing when the command goes on without this thread.
  std::optional<Status> admin(const Command& command, Request& request);
  std::optional<Status> io(const Command& command, Request& request);
  std::optional<Status> transfer(const Command& command, Request& request);
  Status create_cq(const Command& command);
  Status create_sq(const Command& command);
  Status delete_cq(uint32_t id);
  Status delete_sq(uint32_t id);
  Status identify(const Command& command);
  Status log_page(const Command& command);
  Status features(const Command& command, uint32_t& result);
  Status answer(const Command& command, const void* data, uint64_t length);
  void submit(Request& request);
  void finish(Request& request, uint16_t status);
  void give_back(Request& request);
  bool write_completion(Cq& cq, const Request& request);

  Host& host_;
  Doorbells& doorbells_;
  nacre::sdk::Block& disk_;
  uint64_t blocks_ = 0;
  bool readonly_ = false;
  std::string serial_;
  nacre::sdk::MemoryView memory_;
  bool started_ = false;
  uint32_t async_events_ = 0;  // commands that wait for one
  std::array<std::optional<Sq>, 1 + kIoQueues> sqs_;
  std::array<std::optional<Cq>, 1 + kIoQueues> cqs_;
  std::unique_ptr<Request[]> requests_{new Request[kRequests + 1]};  // the last is for the flush of a shutdown
  Request* free_ = nullptr;
  bool serving_ = false, failed_ = false, shutting_down_ = false;
};

}  // namespace nvme
