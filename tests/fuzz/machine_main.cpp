// The entries of the targets that are run on a machine.
#include "tests/fuzz/machine_under_test.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  nacre::fuzz::prepare_machines();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nacre::fuzz::Input input(data, size);
  nacre::fuzz::run(input);
  return 0;
}
