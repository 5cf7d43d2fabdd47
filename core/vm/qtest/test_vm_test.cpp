#include "core/vm/qtest/test_vm.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "core/vm/qtest/encoding.hpp"

namespace nacre::qtest {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class TestVmTest : public ::testing::Test {
 protected:
  static bool is_signalled(const Fd& fd) {
    uint64_t count = 0;
    return ::read(fd.get(), &count, sizeof count) == sizeof count;
  }
  static void signal(const Fd& fd) {
    const uint64_t one = 1;
    EXPECT_EQ(::write(fd.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
  // Serves what is ready.
  void turn() {
    loop_->post_alone([this] { loop_->stop(); });
    loop_->run();
  }
  static Fd event() { return Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

  std::unique_ptr<EventLoop> loop_ = std::move(*EventLoop::create());
  TestVm vm_{*loop_};
};

TEST_F(TestVmTest, LinesAreUpWhileTheyAreOrAfterAnEdge) {
  EXPECT_FALSE(vm_.line(4));
  ASSERT_TRUE(vm_.set_irq_line(4, true));
  vm_.step();
  EXPECT_TRUE(vm_.line(4));
  ASSERT_TRUE(vm_.set_irq_line(4, false));
  EXPECT_FALSE(vm_.line(4));  // a level that is over is over
  ASSERT_TRUE(vm_.set_irq_line(4, true));
  ASSERT_TRUE(vm_.set_irq_line(4, false));
  vm_.step();
  EXPECT_TRUE(vm_.line(4));  // an edge stays until it is acknowledged
  EXPECT_TRUE(vm_.acknowledge(4));
  EXPECT_FALSE(vm_.line(4));
  EXPECT_FALSE(vm_.set_irq_line(TestVm::kLines, true));
  EXPECT_FALSE(vm_.acknowledge(TestVm::kLines));
}

TEST_F(TestVmTest, ChangesAreToldInOrder) {
  std::vector<std::pair<uint32_t, bool>> told;
  vm_.intercept([&](uint32_t gsi, bool level) { told.emplace_back(gsi, level); });
  ASSERT_TRUE(vm_.set_irq_line(4, true));
  ASSERT_TRUE(vm_.set_irq_line(4, true));
  ASSERT_TRUE(vm_.set_irq_line(4, false));
  turn();
  EXPECT_THAT(told, ElementsAre(Pair(4, true), Pair(4, false)));
}

TEST_F(TestVmTest, IrqfdsRaiseEdgesOrStayUpUntilTheEnd) {
  Fd edge = event(), level = event(), resample = event();
  ASSERT_TRUE(vm_.add_irqfd(5, edge.get(), -1));
  ASSERT_TRUE(vm_.add_irqfd(6, level.get(), resample.get()));
  signal(edge);
  signal(level);
  turn();
  vm_.step();
  EXPECT_TRUE(vm_.line(5));
  EXPECT_TRUE(vm_.line(6));
  EXPECT_FALSE(is_signalled(resample));
  EXPECT_TRUE(vm_.acknowledge(6));
  EXPECT_TRUE(is_signalled(resample));
  EXPECT_FALSE(vm_.line(6));
  EXPECT_TRUE(vm_.remove_irqfd(6, level.get()));
  EXPECT_FALSE(vm_.remove_irqfd(6, level.get()));
  signal(level);
  turn();
  EXPECT_FALSE(vm_.line(6));
}

TEST_F(TestVmTest, RoutesSendMessages) {
  kvm_irq_routing_entry entry{};
  entry.gsi = 30;
  entry.type = KVM_IRQ_ROUTING_MSI;
  entry.u.msi.address_lo = 0xfee00000;
  entry.u.msi.data = 0x41;
  ASSERT_TRUE(vm_.set_gsi_routing({entry}));
  Fd fd = event();
  ASSERT_TRUE(vm_.add_irqfd(30, fd.get(), -1));
  signal(fd);
  turn();
  EXPECT_FALSE(vm_.take_message(0xfee00000, 0x42));
  EXPECT_TRUE(vm_.take_message(0xfee00000, 0x41));
  EXPECT_FALSE(vm_.take_message(0xfee00000, 0x41));
}

TEST_F(TestVmTest, IoeventfdsTakeTheWritesThatTheyAskFor) {
  Fd any = event(), seven = event();
  const kvm::IoEvent for_any{.address = 0x100}, for_seven{.address = 0x200, .length = 4, .match = 7};
  ASSERT_TRUE(vm_.add_ioeventfd(for_any, any.get()));
  ASSERT_TRUE(vm_.add_ioeventfd(for_seven, seven.get()));
  EXPECT_FALSE(vm_.add_ioeventfd(for_seven, any.get()));
  EXPECT_TRUE(vm_.take_write(false, 0x100, 2, 1));
  EXPECT_TRUE(is_signalled(any));
  EXPECT_FALSE(vm_.take_write(true, 0x100, 2, 1));
  EXPECT_FALSE(vm_.take_write(false, 0x200, 4, 8));
  EXPECT_FALSE(vm_.take_write(false, 0x200, 2, 7));
  EXPECT_TRUE(vm_.take_write(false, 0x200, 4, 7));
  EXPECT_TRUE(is_signalled(seven));
  EXPECT_TRUE(vm_.remove_ioeventfd(for_seven, seven.get()));
  EXPECT_FALSE(vm_.take_write(false, 0x200, 4, 7));
}

TEST_F(TestVmTest, SlotsAreMemoryAndWhatIsReadOnlyIsNoneForWrites) {
  uint8_t ram[4096] = {}, rom[4096] = {};
  ASSERT_TRUE(vm_.set_memory_slot(0, 0x1000, sizeof ram, ram, 0));
  ASSERT_TRUE(vm_.set_memory_slot(1, 0x4000, sizeof rom, rom, KVM_MEM_READONLY));
  EXPECT_EQ(vm_.memory_at(0x1010, true).memory, ram + 0x10);
  EXPECT_EQ(vm_.memory_at(0x1010, true).length, 4096u - 0x10);
  EXPECT_EQ(vm_.memory_at(0x4000, false).memory, rom);
  EXPECT_EQ(vm_.memory_at(0x4000, true).memory, nullptr);
  EXPECT_EQ(vm_.memory_at(0x2000, false).memory, nullptr);
  EXPECT_EQ(vm_.memory_at(0x2000, false).length, 0x2000u);
  ASSERT_TRUE(vm_.set_memory_slot(0, 0x1000, 0, nullptr, 0));
  EXPECT_EQ(vm_.memory_at(0x1010, true).memory, nullptr);
}

TEST(Encoding, GoesThereAndBack) {
  const std::vector<uint8_t> bytes{0, 1, 0x7f, 0x80, 0xff};
  for (size_t length = 0; length <= bytes.size(); ++length) {
    const std::vector<uint8_t> part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(from_base64(to_base64(part)), part);
    EXPECT_EQ(from_hex(to_hex(part)), part);
  }
  EXPECT_EQ(to_base64(std::vector<uint8_t>{'M', 'a'}), "TWE=");
  EXPECT_EQ(from_hex("123"), (std::vector<uint8_t>{1, 0x23}));
  for (const char* wrong : {"A", "AAA", "A===", "=AAA", "AA=A", "AA==AAAA", "A*AA"})
    EXPECT_FALSE(from_base64(wrong)) << wrong;
  for (const char* wrong : {"g0", "0x", "1 "}) EXPECT_FALSE(from_hex(wrong)) << wrong;
}

}  // namespace
}  // namespace nacre::qtest
