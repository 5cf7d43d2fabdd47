// ACPI tables by way of iasl, for tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "machines/common/fake_guest.hpp"

namespace nacre::machine {

class IaslTest : public ::testing::Test {
 protected:
  // Disassembles a table with iasl, compiles the result again, and returns the source.
  std::string through_iasl(const std::string& name, const Bytes& table) {
    using ::testing::HasSubstr;
    directory_.write(name + ".dat", table);
    int status = 0;
    const std::string in = "cd " + directory_.path() + " && ";
    std::string said = run(in + "iasl -d " + name + ".dat", &status);
    EXPECT_EQ(status, 0) << said;
    std::ifstream source(directory_.path() + "/" + name + ".dsl");
    std::stringstream text;
    text << source.rdbuf();
    EXPECT_FALSE(text.str().empty()) << said;
    EXPECT_THAT(said, ::testing::Not(HasSubstr("rror")));
    said = run(in + "iasl " + name + ".dsl", &status);
    EXPECT_EQ(status, 0) << said;
    EXPECT_THAT(said, HasSubstr("0 Errors"));
    return text.str();
  }

  TemporaryDirectory directory_;

 private:
  // Runs a command; returns what it says, "" when it fails.
  static std::string run(const std::string& command, int* status) {
    std::string said;
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    char buffer[4096];
    while (size_t count = ::fread(buffer, 1, sizeof buffer, pipe)) said.append(buffer, count);
    *status = ::pclose(pipe);
    return said;
  }
};

}  // namespace nacre::machine
