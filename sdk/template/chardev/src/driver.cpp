// An echo: what the guest writes, it reads back. What it does not read in time waits, up to a number of bytes.
#include <algorithm>
#include <nacre/chardev_driver.hpp>
#include <vector>

namespace {

using namespace nacre::sdk;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_SIZE,
     .name = "size",
     .help = "how much may wait",
     .default_text = "64K",
     .min = 1,
     .max = 1 << 20},
};

class @Class@ : public ChardevDriver {
 public:
  using ChardevDriver::ChardevDriver;

  Status realize(nacre_error*) override {
    ring_.resize(u64("size").value_or(1));
    return {};
  }
  Status open(nacre_error*) override {
    begin_ = used_ = 0;
    opened();  // somebody is always at the other end
    return {};
  }
  uint32_t write(std::span<const uint8_t> from) override {
    const size_t n = std::min(from.size(), ring_.size() - used_);
    for (size_t i = 0; i < n; ++i) ring_[(begin_ + used_++) % ring_.size()] = from[i];
    if (n) readable();
    return static_cast<uint32_t>(n);
  }
  uint32_t read(std::span<uint8_t> into) override {
    const size_t n = std::min(into.size(), used_);
    for (size_t i = 0; i < n; ++i) into[i] = ring_[(begin_ + i) % ring_.size()];
    begin_ = (begin_ + n) % ring_.size();
    used_ -= n;
    if (n) writable();
    return static_cast<uint32_t>(n);
  }

 private:
  std::vector<uint8_t> ring_;
  size_t begin_ = 0, used_ = 0;
};

constexpr nacre_type kType = chardev_type<@Class@>("@name@", "an echo", kProps);

}  // namespace

NACRE_PLUGIN(&kType);
