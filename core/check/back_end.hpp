// A plugin's back end on the fake host, used as the VMM would use it, with every rule of its table held against it.
#pragma once

#include <fmt/format.h>

#include <deque>
#include <nacre/fake/host.hpp>
#include <random>

#include "core/plugin/driver_tables.hpp"
#include "subject.hpp"

namespace nacre::check {

// What the three kinds share; every step throws Failed where the plugin breaks a rule.
template <typename Ops>
class BackEnd {
 public:
  BackEnd(const nacre_type& type, const Subject& subject, const std::map<std::string, fake::Value>& more = {});
  // After a failure the process ends: the plugin is not called any more.
  virtual ~BackEnd() = default;
  BackEnd(const BackEnd&) = delete;
  BackEnd& operator=(const BackEnd&) = delete;

  // Throws Cannot with the plugin's words where what it needs is not there.
  virtual void open() = 0;
  // One thing that a device may do, by chance.
  virtual void step(std::mt19937_64& random) = 0;
  virtual void close();
  void destroy();

  const nacre_type& type() const { return type_; }
  nacre_loop& loop() { return loop_; }

 protected:
  void check_opened(nacre_status status, const nacre_error& slot);
  void fails(const std::string& why) const { check(false, fmt::format("'{}' {}.", type_.name, why)); }

  const nacre_type& type_;
  Ops ops_;
  nacre_loop loop_;
  fake::Memory memory_;
  nacre_instance instance_{memory_, loop_, "check"};
  void* self_ = nullptr;

 private:
  void check_gave_back(const char* when);
};

// A disk: what has been written is kept beside it, in memory, for the first megabyte.
class Disk : public BackEnd<nacre_block_driver_ops> {
 public:
  using BackEnd::BackEnd;
  void open() override;
  void step(std::mt19937_64& random) override;
  void close() override;

  const nacre_block_info& info() const { return info_; }
  // Submits this many requests at once, whose buffers are cut at random; waits for them, or has them drained.
  void run(std::mt19937_64& random, uint32_t op, size_t n, bool drains);

 private:
  struct Request {
    nacre_block_request raw, before;
    std::vector<iovec> parts;
    std::vector<uint8_t> bytes, expected;
    unsigned completed = 0;
  };
  static void on_completed(void* self, nacre_block_request* const* requests, uint32_t n) noexcept;
  void prepare(Request& request, std::mt19937_64& random, uint32_t op, uint64_t offset, uint64_t length);
  void judge(Request& request);

  nacre_block_info info_{};
  std::vector<uint8_t> content_;
  std::deque<Request> requests_;
  size_t left_ = 0;
  bool open_ = false;
};

class Wire : public BackEnd<nacre_chardev_driver_ops> {
 public:
  using BackEnd::BackEnd;
  void open() override;
  void step(std::mt19937_64& random) override;
  void close() override;

 private:
  template <unsigned Wire::*count>
  static void on_event(void* self) noexcept;
  bool open_ = false;
  unsigned readable_ = 0, writable_ = 0, opened_ = 0, closed_ = 0;
};

class Network : public BackEnd<nacre_net_driver_ops> {
 public:
  using BackEnd::BackEnd;
  void open() override;
  void step(std::mt19937_64& random) override;

 private:
  nacre_net_info info_{};
};

// Calls `run(back end)` for each of the plugin's, made and opened, which starts it, and ends it.
template <typename Run>
void with_each_back_end(Subject& subject, Run run) {
  auto all = [&]<typename End>(uint32_t kind, End*) {
    for (const nacre_type* type : subject.types(kind)) {
      End end(*type, subject);
      end.open();
      run(end);
      end.close();
      end.destroy();
    }
  };
  subject.start();
  all(NACRE_KIND_BLOCK, static_cast<Disk*>(nullptr));
  all(NACRE_KIND_CHARDEV, static_cast<Wire*>(nullptr));
  all(NACRE_KIND_NET, static_cast<Network*>(nullptr));
}

// Makes and ends one of each of a plugin that has been started; what cannot be made here is passed over.
void make_each_back_end(Subject& subject);

}  // namespace nacre::check
