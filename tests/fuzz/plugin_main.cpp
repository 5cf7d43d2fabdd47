// The entries of the targets that are run for a plugin.
#include "tests/fuzz/plugin_under_test.hpp"

// So that libFuzzer knows the plugin's code from the first run on.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  return nacre::fuzz::guarded([] { nacre::fuzz::Devices().end(); });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nacre::fuzz::Input input(data, size);
  return nacre::fuzz::guarded([&] { nacre::fuzz::run(input); });
}
