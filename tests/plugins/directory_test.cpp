// Who may write where plugins come from, and what lies there beside them.
#include "core/plugin/directory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "tests/plugins/workshop.hpp"

namespace nacre::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr gid_t kOtherGroup = 65534;

std::string refusal(const std::string& path, bool insecure = false) {
  Result<PluginDirectory> directory = open_plugin_directory(path, insecure);
  return directory ? "(accepted)" : directory.error().message;
}

std::string file_refusal(const Workshop& shop, const std::string& name, bool insecure = false) {
  Result<PluginDirectory> directory = open_plugin_directory(shop.path(), insecure);
  EXPECT_TRUE(directory) << directory.error().message;
  Result<PluginFile> file = open_plugin_file(*directory, name);
  return file ? "(accepted)" : file.error().message;
}

std::string user() {
  return getpwuid(geteuid())->pw_name;
}

TEST(PluginDirectory, ListsCandidatesInOrder) {
  Workshop shop;
  for (const char* name : {"b.so", "a.so", ".hidden.so", "c.so.tmp", "d.so~", "notes.txt", ".so", "e.so"})
    shop.put(name, "x");
  Result<PluginDirectory> directory = open_plugin_directory(shop.path(), false);
  ASSERT_TRUE(directory) << directory.error().message;
  EXPECT_THAT(directory->names, ElementsAre("a.so", "b.so", "e.so"));
}

TEST(PluginDirectory, WritableByOthers) {
  Workshop shop;
  ASSERT_EQ(chmod(shop.path().c_str(), 0777), 0);
  EXPECT_EQ(refusal(shop.path()), "plugin directory '" + shop.path() + "' is refused: component '" + shop.path() +
                                      "' is writable by others (mode 0777, owner " + user() + "). Run: chmod o-w " +
                                      shop.path());
  EXPECT_EQ(refusal(shop.path(), true), "(accepted)");
  // The sticky bit keeps others from replacing files, not from adding one.
  ASSERT_EQ(chmod(shop.path().c_str(), 01777), 0);
  EXPECT_THAT(refusal(shop.path()), HasSubstr("is writable by others (mode 1777"));
}

TEST(PluginDirectory, AParentWritableByOthers) {
  Workshop shop;
  std::filesystem::create_directories(shop.path("a/b"));
  ASSERT_EQ(chmod(shop.path("a").c_str(), 0777), 0);
  EXPECT_EQ(refusal(shop.path("a/b")), "plugin directory '" + shop.path("a/b") + "' is refused: component '" +
                                           shop.path("a") + "' is writable by others (mode 0777, owner " + user() +
                                           "). Run: chmod o-w " + shop.path("a"));
  // With the sticky bit nobody but its owner can replace the next component.
  ASSERT_EQ(chmod(shop.path("a").c_str(), 01777), 0);
  EXPECT_EQ(refusal(shop.path("a/b")), "(accepted)");
}

TEST(PluginDirectory, WritableByAGroup) {
  Workshop shop;
  ASSERT_EQ(chmod(shop.path().c_str(), 0775), 0);
  if (geteuid() == 0) {
    ASSERT_EQ(chown(shop.path().c_str(), 0, kOtherGroup), 0);
    EXPECT_THAT(refusal(shop.path()),
                testing::EndsWith("(mode 0775) and this VMM runs as root. Run: chmod g-w " + shop.path()));
  }
  OtherUser other;
  Result<PluginDirectory> directory = open_plugin_directory(shop.path(), false);
  ASSERT_TRUE(directory) << directory.error().message;
  ASSERT_FALSE(directory->warnings.empty());
  EXPECT_THAT(directory->warnings[0], HasSubstr("is writable by group '"));
}

TEST(PluginDirectory, OfAStranger) {
  if (geteuid() != 0) {
    // Somebody else's directory that everyone can read, without making one: none is at hand, so take what must be
    // there.
    EXPECT_EQ(refusal("/usr"), "(accepted)");
    return;
  }
  Workshop shop;
  ASSERT_EQ(chown(shop.path().c_str(), 65534, 0), 0);
  EXPECT_THAT(refusal(shop.path()), HasSubstr("' belongs to 'nobody', and this VMM runs as 'root'."));
}

TEST(PluginFile, NotRegular) {
  Workshop shop;
  ASSERT_EQ(mkfifo(shop.path("fifo.so").c_str(), 0600), 0);
  ASSERT_EQ(mkdir(shop.path("dir.so").c_str(), 0755), 0);
  ASSERT_EQ(symlink("/etc/passwd", shop.path("link.so").c_str()), 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  shop.path("s.so").copy(address.sun_path, sizeof address.sun_path - 1);
  int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(socket);
  EXPECT_EQ(file_refusal(shop, "fifo.so"),
            std::string("'") + shop.path("fifo.so") + "' is a FIFO, not a regular file; ignored.");
  EXPECT_EQ(file_refusal(shop, "dir.so"),
            std::string("'") + shop.path("dir.so") + "' is a directory, not a regular file; ignored.");
  EXPECT_EQ(file_refusal(shop, "s.so"),
            std::string("'") + shop.path("s.so") + "' is a socket, not a regular file; ignored.");
  EXPECT_THAT(file_refusal(shop, "link.so"), StartsWith(std::string("'") + shop.path("link.so") +
                                                        "' is a symbolic link, not a regular file; ignored."));
  EXPECT_EQ(file_refusal(shop, "gone.so"), "cannot read '" + shop.path("gone.so") + "': No such file or directory.");
}

TEST(PluginFile, Unreadable) {
  Workshop shop;
  shop.put("x.so", "x");
  ASSERT_EQ(chmod(shop.path("x.so").c_str(), geteuid() == 0 ? 0600 : 0000), 0);
  const std::string head = "cannot read '" + shop.path("x.so") + "': Permission denied (owner " + user() + ", mode ";
  OtherUser other;
  EXPECT_THAT(file_refusal(shop, "x.so"), StartsWith(head));
}

TEST(PluginFile, WritableByOthersOrAGroup) {
  Workshop shop;
  shop.put("x.so", "x");
  ASSERT_EQ(chmod(shop.path("x.so").c_str(), 0666), 0);
  EXPECT_EQ(file_refusal(shop, "x.so"), std::string("'") + shop.path("x.so") +
                                            "' is refused: it is writable by others (mode 0666). Run: chmod o-w '" +
                                            shop.path("x.so") + "'");
  EXPECT_EQ(file_refusal(shop, "x.so", true), "(accepted)");
  ASSERT_EQ(chmod(shop.path("x.so").c_str(), 0775), 0);
  if (geteuid() != 0) {
    EXPECT_EQ(file_refusal(shop, "x.so"), "(accepted)");
    return;
  }
  ASSERT_EQ(chown(shop.path("x.so").c_str(), 0, kOtherGroup), 0);
  EXPECT_EQ(file_refusal(shop, "x.so"),
            std::string("'") + shop.path("x.so") +
                "' is refused: it is writable by group 'nogroup' (mode 0775) and this VMM runs "
                "as root. Run: chmod g-w '" +
                shop.path("x.so") + "'");
}

TEST(PluginFile, TooLarge) {
  Workshop shop;
  shop.put("x.so", "x");
  ASSERT_EQ(truncate(shop.path("x.so").c_str(), static_cast<off_t>(kMaxPluginSize) + 1), 0);
  EXPECT_EQ(file_refusal(shop, "x.so"),
            std::string("'") + shop.path("x.so") +
                "' is refused: it has 67108865 bytes, and a plugin may have at most 67108864.");
}

}  // namespace
}  // namespace nacre::test
