// What is left of a process that dies in a plugin: a line that names it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "core/plugin/breadcrumb.hpp"
#include "tests/plugins/workshop.hpp"

namespace nacre::test {
namespace {

// Runs in the child of a death test.
void load_and_die(const std::string& name) {
  Workshop shop;
  shop.put_fixture(name, name + ".so");
  crash::install_handlers();
  load(*registry(shop.path()), "test-" + name);
}

TEST(CrashDeathTest, ASignalNamesThePlugin) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      load_and_die("crash"),
      "fatal: plugin 'org.nacre.test.crash' crashed in init \\(SIG(SEGV|ILL) at offset 0x[0-9a-f]+ of crash.so\\)");
}

TEST(CrashDeathTest, AStackOverflowToo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(load_and_die("overflow"),
               "fatal: plugin 'org.nacre.test.overflow' crashed in init \\(SIGSEGV at offset");
}

TEST(CrashDeathTest, AnExceptionThatEscapes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(load_and_die("escape"),
               "fatal: plugin 'org.nacre.test.escape' let an exception escape in init: \"out of paper\"");
}

TEST(CrashDeathTest, OutsideOfPluginsNobodyIsBlamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        crash::install_handlers();
        *reinterpret_cast<volatile int*>(uintptr_t{0x1000}) = 7;
      },
      "fatal: the VMM crashed outside of every plugin \\(SIGSEGV at address 0x");
}

TEST(CrashDeathTest, TheInstanceIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        crash::install_handlers();
        Breadcrumb outer("org.x.foo", "disk1", "queue_notify");
        { Breadcrumb inner("org.x.bar", "", "reset"); }
        raise(SIGBUS);
        raise(SIGBUS);
      },
      "fatal: plugin 'org.x.foo' crashed in queue_notify of device 'disk1' \\(SIGBUS at address 0x");
}

TEST(Exception, ThePluginsWordsReachTheUser) {
  EXPECT_EQ(exception_text("org.x.foo", "realize", "out of paper", "disk1"),
            "plugin 'org.x.foo' threw in realize(): \"out of paper\". Device 'disk1' was removed; the guest goes on.");
}

}  // namespace
}  // namespace nacre::test
