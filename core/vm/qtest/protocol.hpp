// The requests of a test, a line of words each, and their answers.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/vm/qtest/access.hpp"
#include "core/vm/qtest/test_vm.hpp"

namespace nacre::qtest {

enum class Dialect { Qemu, StratoVirt };

// Main thread only.
class Protocol {
 public:
  // What has the machine's time: moves it to `ns` with all that falls due on the way.
  class Time {
   public:
    virtual ~Time() = default;
    virtual uint64_t now() const = 0;
    // UINT64_MAX: no timer runs.
    virtual uint64_t next_deadline() = 0;
    virtual void move_to(uint64_t ns) = 0;
  };

  // `say` sends a line that answers nothing, such as "IRQ raise 4".
  Protocol(TestVm& vm, Access access, Time& time, Dialect dialect, std::function<void(std::string_view)> say)
      : vm_(vm), access_(access), time_(time), dialect_(dialect), say_(std::move(say)) {}

  // Does what the line says. Returns the answer, without the end of the line; never empty. What cannot be understood
  // changes nothing and is answered with "FAIL" and why.
  std::string answer(std::string_view line);

 private:
  using Words = std::vector<std::string_view>;
  using Answer = Result<std::string>;
  struct Command;
  static const Command kCommands[];

  Answer load(const Words& words);
  Answer store(const Words& words);
  Answer read(const Words& words);
  Answer write(const Words& words);
  Answer b64read(const Words& words);
  Answer b64write(const Words& words);
  Answer fill(const Words& words);
  Answer in(const Words& words);
  Answer out(const Words& words);
  Answer clock_step(const Words& words);
  Answer clock_set(const Words& words);
  Answer irq_intercept_in(const Words& words);
  Answer endianness(const Words& words);
  Answer query_msix(const Words& words);
  Answer query_intx(const Words& words);
  Answer eoi_intx(const Words& words);

  TestVm& vm_;
  Access access_;
  Time& time_;
  const Dialect dialect_;
  std::function<void(std::string_view)> say_;
};

}  // namespace nacre::qtest
