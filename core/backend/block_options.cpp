#include "core/backend/block_options.hpp"

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "core/base/suggest.hpp"

namespace nacre {

namespace {

template <typename T>
using Choice = std::pair<std::string_view, T>;

template <typename T>
Result<T> choose(std::string_view option, std::string_view value, std::span<const Choice<T>> choices) {
  std::vector<std::string> names;
  std::string list;
  for (const auto& [name, meaning] : choices) {
    if (name == value) return meaning;
    names.emplace_back(name);
    list += (list.empty() ? "" : ", ") + names.back();
  }
  return fail("'{}' is no value of the drive option '{}', which takes {}.{}", value, option, list,
              did_you_mean(value, names));
}

constexpr std::array<Choice<BlockAio>, 4> kAio{{{"native", BlockAio::Native},
                                                {"io_uring", BlockAio::IoUring},
                                                {"threads", BlockAio::Threads},
                                                {"off", BlockAio::Off}}};
constexpr std::array<Choice<DetectZeroes>, 3> kDetect{
    {{"off", DetectZeroes::Off}, {"on", DetectZeroes::On}, {"unmap", DetectZeroes::Unmap}}};
constexpr std::array<Choice<bool>, 6> kDiscard{
    {{"unmap", true}, {"ignore", false}, {"on", true}, {"off", false}, {"true", true}, {"false", false}}};

}  // namespace

BlockAio BlockOptions::engine() const {
  if (aio != BlockAio::Default) return aio;
  return direct ? BlockAio::Native : BlockAio::Off;
}

Status BlockOptions::check() const {
  if (id.empty()) return fail("a drive needs an id: add 'id=<name>' to -drive.");
  if (iops_total > kMaxIops)
    return fail("drive '{}': throttling.iops-total={} is out of range, it is 0 to {} requests per second.", id,
                iops_total, kMaxIops);
  if (!driver.empty()) return {};
  if (file.empty()) return fail("drive '{}' needs a file: add 'file=<path>' to -drive.", id);
  if (aio == BlockAio::Native && !direct)
    return fail(
        "drive '{}': native aio type should be used with \"direct\" on; write direct=on, or aio=io_uring, threads or "
        "off.",
        id);
  if (aio == BlockAio::Off && direct)
    return fail(
        "drive '{}': low performance expected when use sync io with \"direct\" on; write direct=off, or aio=native, "
        "io_uring or threads.",
        id);
  return {};
}

Result<BlockAio> parse_block_aio(std::string_view value) {
  return choose<BlockAio>("aio", value, kAio);
}
Result<DetectZeroes> parse_detect_zeroes(std::string_view value) {
  return choose<DetectZeroes>("detect-zeroes", value, kDetect);
}
Result<bool> parse_block_discard(std::string_view value) {
  return choose<bool>("discard", value, kDiscard);
}

const char* to_string(BlockAio aio) {
  for (const auto& [name, meaning] : kAio)
    if (meaning == aio) return name.data();
  return "default";
}

const char* to_string(DetectZeroes detect) {
  for (const auto& [name, meaning] : kDetect)
    if (meaning == detect) return name.data();
  return "off";
}

}  // namespace nacre
