// The tests that plugin-check runs, each in a process of its own.
#pragma once

#include <string>
#include <vector>

#include "subject.hpp"

namespace nacre::check {

struct Options {
  uint64_t seed = 0;
  unsigned fuzz_seconds = 2;
};

struct Test {
  unsigned level;  // 1 load, 2 shape, 3 life, 4 device, 5 stress
  std::string name;
  std::string what;  // one line: what holds when it passes
  // Throws Failed or Cannot.
  void (*run)(Subject& subject, const Options& options, const std::string& argument);
  std::string argument;
};

// What there is to run for this plugin, by level.
std::vector<Test> tests_for(const Subject& subject);

void add_load_tests(std::vector<Test>& tests);
void add_shape_tests(std::vector<Test>& tests, const Subject& subject);
void add_life_tests(std::vector<Test>& tests);
void add_device_tests(std::vector<Test>& tests);
void add_vcpu_tests(std::vector<Test>& tests);
void add_stress_tests(std::vector<Test>& tests);

}  // namespace nacre::check
