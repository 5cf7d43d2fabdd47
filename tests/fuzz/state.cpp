// The loader of a device's state: fields that are missing, damaged, of another type or unknown, and the device's life
// with what it has taken.
#include "tests/fuzz/plugin_under_test.hpp"

namespace nacre::fuzz {
namespace {

fake::State changed(fake::State state, Input& input) {
  for (uint32_t edits = input.below(12); edits; --edits) {
    const uint8_t how = input.number<uint8_t>();
    auto field = state.begin();
    if (!state.empty()) std::advance(field, input.below(static_cast<uint32_t>(state.size())));
    if (how < 32 || field == state.end()) {
      const bool number = how & 1;
      state[input.number<uint8_t>()] = {number, number ? input.text(8) : input.text(input.below(300))};
    } else if (how < 48) {
      state.erase(field);
    } else if (field->second.first) {
      const auto value = input.number<uint64_t>();
      field->second.second.assign(reinterpret_cast<const char*>(&value), sizeof value);
    } else {
      std::string& bytes = field->second.second;
      if (how < 64) bytes.resize(input.number<uint16_t>() % 1024);
      const std::string piece = input.text(input.below(64));
      const size_t at = bytes.empty() ? 0 : input.number<uint16_t>() % bytes.size();
      bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece, 0, bytes.size() - at);
    }
  }
  for (auto& [tag, field] : state)
    if (field.first) field.second.resize(8);  // as the host has checked
  return state;
}

}  // namespace

void run(Input& input) {
  Devices devices;
  fake::Device& device = devices.first();
  for (int rounds = 0; rounds < 4; ++rounds) {
    device.quiesce();
    const fake::State before = device.save();
    try {
      device.load(changed(before, input));
    } catch (const std::runtime_error& refused) {
      require_sentence(refused.what());
    }
    // What it saves it takes back; a clock's may be another by then.
    const fake::State loaded = device.save();
    device.load(loaded);
    require(device.save().size() == loaded.size(), "a device saves the same fields always");
    device.resume();
    for (uint32_t i = input.below(16); i; --i) access_registers(devices, input);
    devices.serve();
    if (input.empty()) break;
  }
  devices.end();
}

}  // namespace nacre::fuzz
