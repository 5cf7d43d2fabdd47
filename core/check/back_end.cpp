#include "back_end.hpp"

#include <fcntl.h>

#include <cstring>

namespace nacre::check {
namespace {

constexpr uint64_t kContent = 1 << 20;  // of a disk that is written and read
constexpr uint8_t kGuard = 0x5a;        // behind buffers

// Cuts a buffer into pieces of any length.
std::vector<iovec> cut(uint8_t* bytes, uint64_t length, std::mt19937_64& random) {
  std::vector<iovec> parts;
  for (uint64_t at = 0; at < length;) {
    const uint64_t n = parts.size() < 100 ? std::min<uint64_t>(length - at, 1 + random() % 5000) : length - at;
    parts.push_back({bytes + at, n});
    at += n;
  }
  return parts;
}

}  // namespace

template <typename Ops>
BackEnd<Ops>::BackEnd(const nacre_type& type, const Subject& subject, const std::map<std::string, fake::Value>& more)
    : type_(type), ops_(table_of<Ops>(type)) {
  check(is_complete(ops_), fmt::format("'{}' lacks functions that its kind must have.", type.name));
  instance_.properties.merge(values_for(type, subject.settings()));
  for (const auto& [name, value] : more) instance_.properties[name] = value;
  nacre_error slot;
  const nacre_status made = ops_.create(&instance_, &self_, &slot);
  if (made == NACRE_OK) return;
  check(slot.text[0], fmt::format("create() of '{}' fails with status {} and gives no words.", type.name, made));
  check(made != NACRE_PLUGIN_EXCEPTION, fmt::format("create() of '{}' threw: {}", type.name, slot.text));
  check_gave_back("after a failed create()");
  throw Cannot{fmt::format("'{}' cannot be made here: {}", type.name, slot.text)};
}

template <typename Ops>
void BackEnd<Ops>::check_opened(nacre_status status, const nacre_error& slot) {
  if (status == NACRE_OK) return;
  check(slot.text[0], fmt::format("open() of '{}' fails with status {} and gives no words.", type_.name, status));
  throw Cannot{fmt::format("'{}' cannot be opened here: {}", type_.name, slot.text)};
}

template <typename Ops>
void BackEnd<Ops>::close() {
  ops_.close(self_);
  loop_.settle(std::chrono::milliseconds(5));
  check_gave_back("after close()");
}

template <typename Ops>
void BackEnd<Ops>::destroy() {
  ops_.destroy(self_);
  self_ = nullptr;
  check_gave_back("after destroy()");
}

template <typename Ops>
void BackEnd<Ops>::check_gave_back(const char* when) {
  const std::string held = instance_.held();
  check(held.empty(), fmt::format("'{}' still holds {} {}.", type_.name, held, when));
  check(loop_.watches() == 0 && loop_.timers() == 0, fmt::format("'{}' left {} watches and {} timers on its loop {}.",
                                                                 type_.name, loop_.watches(), loop_.timers(), when));
}

void Disk::open() {
  nacre_error slot;
  check_opened(ops_.open(self_, on_completed, this, &slot), slot);
  open_ = true;
  info_.size = sizeof info_;
  info_.request_size = sizeof(nacre_block_request);
  info_.alignment = 1;
  ops_.info(self_, &info_);
  if (info_.size != sizeof info_) fails("writes the size of nacre_block_info, which is the host's");
  if (info_.capacity % 512) fails(fmt::format("has {} bytes, which is not a multiple of 512", info_.capacity));
  if (info_.alignment > 4096 || (info_.alignment & (info_.alignment - 1)))
    fails(fmt::format("asks for an alignment of {}, which is not a power of two up to 4096", info_.alignment));
  if (info_.capacity && content_.empty()) {
    content_.resize(std::min(info_.capacity, kContent));
    std::mt19937_64 random(1);
    // What there is, is read first.
    nacre_block_request read{};
    iovec all{content_.data(), content_.size()};
    read.op = NACRE_BLOCK_READ;
    read.length = content_.size();
    read.iov = &all;
    read.n_iov = 1;
    Request& request = requests_.emplace_back(Request{read, read, {}, {}, {}, 0});
    nacre_block_request* one = &request.raw;
    left_ = 1;
    ops_.submit(self_, &one, 1);
    if (!loop_.run_until([&] { return left_ == 0; }, std::chrono::seconds(5))) fails("does not complete a read");
    if (request.raw.status != NACRE_OK) fails("cannot be read from its beginning");
    requests_.clear();
  }
}

void Disk::close() {
  open_ = false;
  BackEnd::close();
}

void Disk::on_completed(void* self, nacre_block_request* const* requests, uint32_t n) noexcept {
  auto& disk = *static_cast<Disk*>(self);
  if (!disk.loop_.is_current()) fake::offend("a disk completed requests off its loop");
  if (!disk.open_) fake::offend("a disk completed requests after close()");
  for (uint32_t i = 0; i < n; ++i) {
    bool known = false;
    for (Request& one : disk.requests_)
      if (&one.raw == requests[i]) known = true, ++one.completed;
    if (!known) fake::offend("a disk completed a request that it has not been given");
    if (disk.left_) --disk.left_;
  }
}

void Disk::prepare(Request& request, std::mt19937_64& random, uint32_t op, uint64_t offset, uint64_t length) {
  request.raw = {};
  request.raw.op = op;
  request.raw.offset = offset;
  request.raw.length = length;
  request.raw.status = NACRE_INTERNAL;
  for (uint64_t& word : request.raw.host) word = random();
  if (op == NACRE_BLOCK_READ || op == NACRE_BLOCK_WRITE) {
    request.bytes.assign(length + 16, kGuard);
    if (op == NACRE_BLOCK_WRITE)
      for (uint64_t i = 0; i < length; ++i) request.bytes[i] = static_cast<uint8_t>(random());
    request.parts = cut(request.bytes.data(), length, random);
    request.raw.iov = request.parts.data();
    request.raw.n_iov = static_cast<uint32_t>(request.parts.size());
  }
  uint8_t* at = content_.data() + offset;
  if (op == NACRE_BLOCK_READ) request.expected.assign(at, at + length);
  if (op == NACRE_BLOCK_WRITE) std::copy_n(request.bytes.data(), length, at);
  request.before = request.raw;
}

void Disk::judge(Request& request) {
  nacre_block_request &now = request.raw, &before = request.before;
  const std::string what = fmt::format("request {} of {} bytes at {}", now.op, before.length, before.offset);
  if (request.completed != 1) fails(fmt::format("completes {} {} times", what, request.completed));
  if (now.op != before.op || now.offset != before.offset || now.length != before.length || now.iov != before.iov ||
      now.n_iov != before.n_iov || now.flags != before.flags || std::memcmp(now.host, before.host, 32) != 0)
    fails(fmt::format("changes {} besides its status and the last two words of `host`", what));
  if (now.status > NACRE_OK || now.status < NACRE_PLUGIN_EXCEPTION || now.status == NACRE_INTERNAL)
    fails(fmt::format("gives {} no status, or one that there is not: {}", what, now.status));
  const bool optional = now.op == NACRE_BLOCK_DISCARD || now.op == NACRE_BLOCK_WRITE_ZEROES;
  if (now.status != NACRE_OK && !optional) fails(fmt::format("fails {}: status {}", what, now.status));
  for (size_t i = before.length; i < request.bytes.size(); ++i)
    if (request.bytes[i] != kGuard) fails(fmt::format("writes beyond the buffers of {}", what));
  if (now.op == NACRE_BLOCK_READ &&
      !std::equal(request.expected.begin(), request.expected.end(), request.bytes.begin()))
    fails(fmt::format("reads something else than was written: {}", what));
}

void Disk::run(std::mt19937_64& random, uint32_t op, size_t n, bool drains) {
  if (info_.readonly && op != NACRE_BLOCK_READ && op != NACRE_BLOCK_FLUSH) return;
  // Each in its own part, so that their order does not matter.
  const uint64_t part = content_.size() / n / 512 * 512;
  if (part == 0 && op != NACRE_BLOCK_FLUSH) return;
  requests_.clear();
  std::vector<nacre_block_request*> batch;
  for (size_t i = 0; i < n; ++i) {
    const uint64_t skip = op == NACRE_BLOCK_FLUSH ? 0 : random() % (part / 512) * 512;
    const uint64_t length = op == NACRE_BLOCK_FLUSH ? 0 : std::min<uint64_t>(part - skip, (1 + random() % 64) * 512);
    prepare(requests_.emplace_back(), random, op, op == NACRE_BLOCK_FLUSH ? 0 : i * part + skip, length);
    batch.push_back(&requests_.back().raw);
  }
  left_ = n;
  ops_.submit(self_, batch.data(), static_cast<uint32_t>(n));
  if (drains && ops_.drain) {
    ops_.drain(self_);
    if (left_) fails(fmt::format("has {} requests left when drain() returns", left_));
  } else if (!loop_.run_until([&] { return left_ == 0; }, std::chrono::seconds(5))) {
    fails(fmt::format("does not complete {} requests within 5 s", left_));
  }
  for (Request& request : requests_) judge(request);
  if (op != NACRE_BLOCK_DISCARD && op != NACRE_BLOCK_WRITE_ZEROES) return;
  // What is there now: zeroes after the one; anything after the other, which is read.
  for (Request& request : requests_) {
    const nacre_block_request done = request.raw;
    if (done.status != NACRE_OK) continue;
    uint8_t* at = content_.data() + done.offset;
    std::vector<uint8_t> now(done.length);
    iovec all{now.data(), now.size()};
    request.completed = 0;
    request.raw = {.op = NACRE_BLOCK_READ,
                   .flags = 0,
                   .offset = done.offset,
                   .length = done.length,
                   .iov = &all,
                   .n_iov = 1,
                   .status = NACRE_INTERNAL,
                   .host = {}};
    nacre_block_request* one = &request.raw;
    left_ = 1;
    ops_.submit(self_, &one, 1);
    if (!loop_.run_until([&] { return left_ == 0; }, std::chrono::seconds(5))) fails("does not complete a read");
    if (op == NACRE_BLOCK_WRITE_ZEROES && std::any_of(now.begin(), now.end(), [](uint8_t byte) { return byte != 0; }))
      fails("has something else than zeroes where they were written");
    std::copy(now.begin(), now.end(), at);
  }
}

void Disk::step(std::mt19937_64& random) {
  constexpr uint32_t kOps[] = {NACRE_BLOCK_READ,  NACRE_BLOCK_READ,    NACRE_BLOCK_WRITE,       NACRE_BLOCK_WRITE,
                               NACRE_BLOCK_FLUSH, NACRE_BLOCK_DISCARD, NACRE_BLOCK_WRITE_ZEROES};
  run(random, kOps[random() % std::size(kOps)], 1 + random() % 64, random() % 4 == 0);
}

template <unsigned Wire::*count>
void Wire::on_event(void* self) noexcept {
  auto& wire = *static_cast<Wire*>(self);
  if (!wire.loop_.is_current()) fake::offend("a character back end told an event off its loop");
  if (!wire.open_) fake::offend("a character back end told an event after close()");
  ++(wire.*count);
}

void Wire::open() {
  const nacre_chardev_events events{
      sizeof events,           0, on_event<&Wire::readable_>, on_event<&Wire::writable_>, on_event<&Wire::opened_>,
      on_event<&Wire::closed_>};
  open_ = true;
  opened_ = closed_ = 0;
  nacre_error slot;
  check_opened(ops_.open(self_, &events, this, &slot), slot);
  loop_.settle(std::chrono::milliseconds(5));
}

void Wire::close() {
  open_ = false;
  BackEnd::close();
}

void Wire::step(std::mt19937_64& random) {
  std::vector<uint8_t> bytes(1 + random() % (random() % 8 ? 200 : 70000));
  const auto length = static_cast<uint32_t>(bytes.size());
  if (random() % 2) {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const std::vector<uint8_t> before = bytes;
    // Nobody writes to where nobody is.
    const uint32_t taken = opened_ > closed_ ? ops_.write(self_, bytes.data(), length) : 0;
    if (taken > length) fails(fmt::format("takes {} bytes of {}", taken, length));
    if (bytes != before) fails("changes what it is to write");
  } else {
    bytes.resize(length + 16, kGuard);
    std::fill(bytes.begin() + length, bytes.end(), kGuard);
    const uint32_t given = ops_.read(self_, bytes.data(), length);
    if (given > length) fails(fmt::format("gives {} bytes where there is room for {}", given, length));
    if (std::any_of(bytes.begin() + length, bytes.end(), [](uint8_t byte) { return byte != kGuard; }))
      fails("reads beyond the buffer");
  }
  if (random() % 16 == 0) loop_.settle(std::chrono::milliseconds(1));
}

void Network::open() {
  nacre_error slot;
  check_opened(ops_.open(self_, &slot), slot);
  info_.size = sizeof info_;
  ops_.info(self_, &info_);
  if (info_.n_queues < 1 || info_.n_queues > NACRE_NET_QUEUES_MAX)
    fails(fmt::format("has {} pairs of queues, not 1 to {}", info_.n_queues, NACRE_NET_QUEUES_MAX));
  if (info_.n_queues > 1 && !ops_.set_queues) fails("has several pairs of queues and no set_queues()");
  if (info_.max_frame < 1514)
    fails(fmt::format("takes frames of {} bytes at most, an Ethernet has 1514", info_.max_frame));
  if (info_.gives && !ops_.set_offloads) fails("offers offloads and has no set_offloads()");
  for (uint32_t queue = 0; queue < info_.n_queues; ++queue)
    if (::fcntl(ops_.fd(self_, queue), F_GETFD) < 0) fails(fmt::format("has no open descriptor for queue {}", queue));
  for (const uint32_t offloads : {info_.gives, 0u})
    if (ops_.set_offloads && ops_.set_offloads(self_, offloads) != NACRE_OK)
      fails("refuses the offloads that it gives");
}

void Network::step(std::mt19937_64& random) {
  const auto queue = static_cast<uint32_t>(random() % info_.n_queues);
  // Also what is no frame: too short, too long.
  const uint64_t length = random() % 4 ? NACRE_NET_HEADER + 14 + random() % 100 : random() % (info_.max_frame + 100);
  std::vector<uint8_t> bytes(length + 16, kGuard);
  if (random() % 2) {
    for (uint64_t i = 0; i < length; ++i) bytes[i] = i < NACRE_NET_HEADER ? 0 : static_cast<uint8_t>(random());
    // What most networks look at: who it is for, ARP or IPv4.
    if (length > 60 && random() % 2) {
      std::memset(bytes.data() + NACRE_NET_HEADER, 0xff, 6);
      bytes[NACRE_NET_HEADER + 12] = 8;
      bytes[NACRE_NET_HEADER + 13] = random() % 2 ? 6 : 0;
      bytes[NACRE_NET_HEADER + 14] = 0x45;
    }
    const std::vector<uint8_t> before = bytes;
    const std::vector<iovec> parts = cut(bytes.data(), length, random);
    const int32_t sent = ops_.send(self_, queue, parts.data(), static_cast<uint32_t>(parts.size()));
    if (sent != 1 && sent != 0 && sent != NACRE_INVALID && sent != NACRE_IO)
      fails(fmt::format("answers send() with {}", sent));
    if (bytes != before) fails("changes the frame that it is to send");
  } else {
    const std::vector<iovec> parts = cut(bytes.data(), length, random);
    const int64_t given = ops_.receive(self_, queue, parts.data(), static_cast<uint32_t>(parts.size()));
    if (given > static_cast<int64_t>(length) || (given < 0 && given != NACRE_IO))
      fails(fmt::format("gives {} bytes where there is room for {}", given, length));
    for (uint64_t i = length; i < bytes.size(); ++i)
      if (bytes[i] != kGuard) fails("receives beyond the buffers");
  }
  if (random() % 16 == 0) loop_.settle(std::chrono::milliseconds(1));
}

void make_each_back_end(Subject& subject) {
  auto all = [&]<typename End>(uint32_t kind, End*) {
    for (const nacre_type* type : subject.types(kind)) {
      try {
        End(*type, subject).destroy();
      } catch (const Cannot&) {
      }
    }
  };
  all(NACRE_KIND_BLOCK, static_cast<Disk*>(nullptr));
  all(NACRE_KIND_CHARDEV, static_cast<Wire*>(nullptr));
  all(NACRE_KIND_NET, static_cast<Network*>(nullptr));
}

template class BackEnd<nacre_block_driver_ops>;
template class BackEnd<nacre_chardev_driver_ops>;
template class BackEnd<nacre_net_driver_ops>;

}  // namespace nacre::check
