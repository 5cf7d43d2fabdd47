#include "controller.hpp"

#include <algorithm>
#include <cstring>

namespace nvme {
namespace {

constexpr uint32_t kForceUnitAccess = 1u << 30;  // of DW 12

}  // namespace

Controller::Controller(Host& host, Doorbells& doorbells, nacre::sdk::Block& disk)
    : host_(host), doorbells_(doorbells), disk_(disk) {
  for (uint32_t i = 0; i <= kRequests; ++i) requests_[i].controller = this;
  for (uint32_t i = 0; i < kRequests; ++i) give_back(requests_[i]);
}

void Controller::describe(const nacre_block_info& disk, const std::string& serial) {
  blocks_ = disk.capacity >> kBlockShift;
  readonly_ = disk.readonly;
  serial_ = serial;
}

bool Controller::start(const nacre::sdk::MemoryView& memory, uint32_t aqa, uint64_t asq, uint64_t acq) {
  const uint32_t sq_size = (aqa & 0xfff) + 1, cq_size = (aqa >> 16 & 0xfff) + 1;
  if (sq_size < 2 || cq_size < 2 || asq % kPage || acq % kPage) return false;  // §3.1.8 to §3.1.10
  memory_ = memory;
  for (auto& tail : doorbells_.sq_tail) tail = 0;
  for (auto& head : doorbells_.cq_head) head = 0;
  cqs_[0] = Cq{acq, cq_size, 0, 0, true, true, nullptr, nullptr};
  sqs_[0] = Sq{asq, sq_size, 0, 0};
  async_events_ = 0;
  failed_ = false;
  started_ = true;
  return true;
}

void Controller::stop() {
  started_ = false;
  disk_.drain();  // completions come meanwhile and go nowhere
  for (auto& cq : cqs_) drop(cq);
  for (auto& sq : sqs_) sq.reset();
}

void Controller::drop(std::optional<Cq>& cq) {
  for (Request* waiting = cq ? cq->first : nullptr; waiting;) {
    Request* next = waiting->next;
    give_back(*waiting);
    waiting = next;
  }
  cq.reset();
}

void Controller::fail() {
  failed_ = true;
  host_.fatal();
}

void Controller::begin_shutdown() {
  if (shutting_down_) return;
  disk_.drain();
  if (readonly_) return host_.shut_down();
  shutting_down_ = true;
  requests_[kRequests].raw = {};
  requests_[kRequests].raw.op = NACRE_BLOCK_FLUSH;
  submit(requests_[kRequests]);
}

void Controller::serve() {
  // A disk that is drained calls from inside.
  if (!started_ || failed_ || serving_) return;
  serving_ = true;
  for (uint16_t i = 0; i < sqs_.size(); ++i) take(i);
  if (publish() && commands_wait()) host_.wake();
  serving_ = false;
}

bool Controller::commands_wait() const {
  for (size_t i = 0; i < sqs_.size(); ++i)
    if (const uint32_t tail = doorbells_.sq_tail[i]; sqs_[i] && tail < sqs_[i]->size && tail != sqs_[i]->head)
      return true;
  return false;
}

void Controller::take(uint16_t number) {
  // A tail that cannot be is as none (§3.1.24); deleting a queue ends the loop.
  while (sqs_[number] && free_ && !failed_) {
    Sq& sq = *sqs_[number];
    const uint32_t tail = doorbells_.sq_tail[number].load(std::memory_order_acquire);
    if (tail >= sq.size || tail == sq.head) return;
    Command command;
    if (!memory_.read(sq.base + uint64_t{sq.head} * sizeof command, &command, sizeof command)) return fail();
    sq.head = (sq.head + 1) % sq.size;
    Request& request = *free_;
    free_ = request.next;
    request.raw = {};
    request.sq = number;
    request.cq = sq.cq;
    request.id = command.id;
    request.result = 0;
    request.sync = false;
    const std::optional<Status> status = number == 0 ? admin(command, request) : io(command, request);
    if (status) finish(request, *status);
  }
}

std::optional<Status> Controller::io(const Command& command, Request& request) {
  const bool all = command.opcode == kFlush && command.nsid == UINT32_MAX;
  if (command.nsid != 1 && !all) return kInvalidNamespace;
  switch (command.opcode) {
    case kFlush:
      request.raw.op = NACRE_BLOCK_FLUSH;
      submit(request);
      return {};
    case kRead:
    case kWrite:
    case kWriteZeroes:
      return transfer(command, request);
    default:
      return kInvalidOpcode;
  }
}

std::optional<Status> Controller::transfer(const Command& command, Request& request) {
  const uint64_t first = command.dw10 | uint64_t{command.dw11} << 32, count = (command.dw12 & 0xffff) + 1;
  if (first >= blocks_ || count > blocks_ - first) return kLbaOutOfRange;
  if (command.opcode != kRead && readonly_) return kWriteProtected;
  request.raw.offset = first << kBlockShift;
  request.raw.length = count << kBlockShift;
  request.sync = command.opcode != kRead && command.dw12 & kForceUnitAccess;
  request.raw.op = command.opcode == kRead    ? NACRE_BLOCK_READ
                   : command.opcode == kWrite ? NACRE_BLOCK_WRITE
                                              : NACRE_BLOCK_WRITE_ZEROES;
  if (command.opcode != kWriteZeroes) {
    if (request.raw.length > uint64_t{kPage} << kMaxTransferShift) return kInvalidField;
    const Status status = translate_prps(memory_, command.prp1, command.prp2, request.raw.length, request.parts.data(),
                                         request.raw.n_iov);
    if (status != kSuccess) return status;
    request.raw.iov = request.parts.data();
  }
  submit(request);
  return {};
}

void Controller::submit(Request& request) {
  nacre_block_request* const raw = &request.raw;
  disk_.submit({&raw, 1});
}

void Controller::completed(nacre_block_request* raw) {
  auto& request = *reinterpret_cast<Request*>(raw);
  Controller& self = *request.controller;
  if (&request == &self.requests_[kRequests]) {
    self.shutting_down_ = false;
    return self.host_.shut_down();
  }
  if (raw->status == NACRE_OK && std::exchange(request.sync, false) && self.started_) {
    request.raw = {};
    request.raw.op = NACRE_BLOCK_FLUSH;
    return self.submit(request);
  }
  self.finish(request, raw->status == NACRE_OK ? kSuccess : kInternalError);
}

// Behind those that wait for room already.
void Controller::finish(Request& request, uint16_t status) {
  if (!started_ || !cqs_[request.cq]) return give_back(request);
  Cq& cq = *cqs_[request.cq];
  request.status = status;
  request.next = nullptr;
  (cq.last ? cq.last->next : cq.first) = &request;
  cq.last = &request;
}

void Controller::give_back(Request& request) {
  request.next = free_;
  free_ = &request;
}

// Returns whether requests are free that were not.
bool Controller::publish() {
  bool freed = false;
  for (uint16_t i = 0; i < cqs_.size(); ++i) {
    if (!cqs_[i]) continue;
    Cq& cq = *cqs_[i];
    bool wrote = false;
    while (cq.first) {
      // A queue is full with one entry free (§4.1.2).
      const uint32_t head = doorbells_.cq_head[i].load(std::memory_order_acquire);
      if (head >= cq.size || (cq.tail + 1) % cq.size == head) break;
      Request& request = *cq.first;
      if (!write_completion(cq, request)) return fail(), false;
      cq.first = request.next;
      if (!cq.first) cq.last = nullptr;
      give_back(request);
      wrote = freed = true;
    }
    if (wrote && cq.interrupts) host_.interrupt(cq.vector);
  }
  return freed;
}

bool Controller::write_completion(Cq& cq, const Request& request) {
  uint8_t* at = memory_.translate(cq.base + uint64_t{cq.tail} * sizeof(Completion), sizeof(Completion));
  if (!at) return false;
  const auto& sq = sqs_[request.sq];  // deleted, perhaps, by the driver that still hears of it
  const uint32_t head = (sq ? sq->head : 0) | uint32_t{request.sq} << 16;
  // The phase tells the driver that the entry is new: last, and at once with what shares its word.
  const uint32_t last = request.id | (uint32_t{request.status} << 1 | (cq.phase ? 1u : 0u)) << 16;
  std::memcpy(at, &request.result, sizeof request.result);
  std::memset(at + 4, 0, 4);
  std::memcpy(at + 8, &head, sizeof head);
  __atomic_store_n(reinterpret_cast<uint32_t*>(at + 12), last, __ATOMIC_RELEASE);
  cq.tail = (cq.tail + 1) % cq.size;
  if (cq.tail == 0) cq.phase = !cq.phase;
  return true;
}

bool Controller::has_completions() const {
  for (size_t i = 0; i < cqs_.size(); ++i)
    if (cqs_[i] && cqs_[i]->interrupts && doorbells_.cq_head[i] < cqs_[i]->size &&
        doorbells_.cq_head[i] != cqs_[i]->tail)
      return true;
  return false;
}

}  // namespace nvme
