#include "core/vm/qtest/protocol.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "core/base/suggest.hpp"
#include "core/vm/qtest/encoding.hpp"

namespace nacre::qtest {
namespace {

constexpr uint64_t kMostBytes = 16 << 20;  // of one request

// As strtoull() with base 0 reads it: 0x begins hexadecimal, 0 octal digits.
std::optional<uint64_t> parse_number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

Result<uint64_t> number(std::string_view text) {
  if (std::optional<uint64_t> value = parse_number(text)) return *value;
  return fail("'{}' is no number of at most 64 bits.", text);
}

uint32_t width_of(std::string_view command) {
  switch (command.back()) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'l':
      return 4;
    default:
      return 8;
  }
}

// An address and how many bytes from there.
struct Range {
  uint64_t address, length;
};

Result<Range> range(std::string_view address, std::string_view length) {
  Result<uint64_t> base = number(address), size = number(length);
  if (!base) return base.error();
  if (!size) return size.error();
  if (*size == 0 || *size > kMostBytes) return fail("{} bytes are not between 1 and {}.", *size, kMostBytes);
  if (*size - 1 > UINT64_MAX - *base) return fail("{} bytes from {:#x} go beyond the end.", *size, *base);
  return Range{*base, *size};
}

Result<std::vector<uint8_t>> bytes_of(std::string_view text) {
  std::optional<std::vector<uint8_t>> bytes = text.starts_with("0x") ? from_hex(text.substr(2)) : std::nullopt;
  if (!bytes || bytes->empty()) return fail("'{}' is not 0x and bytes in hexadecimal.", text.substr(0, 32));
  return std::move(*bytes);
}

std::string truth(bool value) {
  return value ? "OK TRUE" : "OK FALSE";
}

}  // namespace

struct Protocol::Command {
  std::string_view name;
  size_t least, most;  // words, its name included
  std::string_view syntax;
  Answer (Protocol::*run)(const Words&);
};

const Protocol::Command Protocol::kCommands[] = {
    {"readb", 2, 2, "ADDR", &Protocol::load},
    {"readw", 2, 2, "ADDR", &Protocol::load},
    {"readl", 2, 2, "ADDR", &Protocol::load},
    {"readq", 2, 2, "ADDR", &Protocol::load},
    {"writeb", 3, 3, "ADDR VALUE", &Protocol::store},
    {"writew", 3, 3, "ADDR VALUE", &Protocol::store},
    {"writel", 3, 3, "ADDR VALUE", &Protocol::store},
    {"writeq", 3, 3, "ADDR VALUE", &Protocol::store},
    {"read", 3, 3, "ADDR SIZE", &Protocol::read},
    {"write", 4, 4, "ADDR SIZE 0xBYTES", &Protocol::write},
    {"b64read", 3, 3, "ADDR SIZE", &Protocol::b64read},
    {"b64write", 4, 4, "ADDR SIZE BASE64", &Protocol::b64write},
    {"memset", 4, 4, "ADDR SIZE VALUE", &Protocol::fill},
    {"inb", 2, 2, "PORT", &Protocol::in},
    {"inw", 2, 2, "PORT", &Protocol::in},
    {"inl", 2, 2, "PORT", &Protocol::in},
    {"outb", 3, 3, "PORT VALUE", &Protocol::out},
    {"outw", 3, 3, "PORT VALUE", &Protocol::out},
    {"outl", 3, 3, "PORT VALUE", &Protocol::out},
    {"clock_step", 1, 2, "[NS]", &Protocol::clock_step},
    {"clock_set", 2, 2, "NS", &Protocol::clock_set},
    {"irq_intercept_in", 2, 2, "ioapic", &Protocol::irq_intercept_in},
    {"endianness", 1, 1, "", &Protocol::endianness},
    {"query_msix", 3, 3, "ADDR DATA", &Protocol::query_msix},
    {"query_intx", 2, 2, "IRQ", &Protocol::query_intx},
    {"eoi_intx", 2, 2, "IRQ", &Protocol::eoi_intx},
};

std::string Protocol::answer(std::string_view line) {
  Words words;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    if (end) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  if (words.empty()) return "FAIL the line is empty.";
  for (const Command& command : kCommands) {
    if (command.name != words[0]) continue;
    if (words.size() < command.least || words.size() > command.most)
      return fmt::format("FAIL {}: write '{}{}{}'.", command.name, command.name, command.syntax.empty() ? "" : " ",
                         command.syntax);
    vm_.step();
    Answer result = (this->*command.run)(words);
    return result ? *result : fmt::format("FAIL {}: {}", command.name, result.error().message);
  }
  if (dialect_ == Dialect::StratoVirt) return fmt::format("Unsupported command: {}", words[0]);
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  const std::string word(words[0].substr(0, 64));
  return fmt::format("FAIL Unknown command '{}'.{}", word, did_you_mean(word, names));
}

Protocol::Answer Protocol::load(const Words& words) {
  Result<uint64_t> address = number(words[1]);
  if (!address) return address.error();
  return fmt::format("OK 0x{:016x}", access_.load(*address, width_of(words[0])));
}

Protocol::Answer Protocol::store(const Words& words) {
  Result<uint64_t> address = number(words[1]), value = number(words[2]);
  if (!address) return address.error();
  if (!value) return value.error();
  access_.store(*address, width_of(words[0]), *value);
  return std::string("OK");
}

Protocol::Answer Protocol::read(const Words& words) {
  Result<Range> from = range(words[1], words[2]);
  if (!from) return from.error();
  std::vector<uint8_t> bytes(from->length);
  access_.read(from->address, bytes.data(), bytes.size());
  return "OK 0x" + to_hex(bytes);
}

Protocol::Answer Protocol::write(const Words& words) {
  Result<Range> to = range(words[1], words[2]);
  if (!to) return to.error();
  Result<std::vector<uint8_t>> bytes = bytes_of(words[3]);
  if (!bytes) return bytes.error();
  if (bytes->size() != to->length) return fail("there are {} bytes, not {}.", bytes->size(), to->length);
  access_.write(to->address, bytes->data(), bytes->size());
  return std::string("OK");
}

Protocol::Answer Protocol::b64read(const Words& words) {
  Result<Range> from = range(words[1], words[2]);
  if (!from) return from.error();
  std::vector<uint8_t> bytes(from->length);
  access_.read(from->address, bytes.data(), bytes.size());
  return "OK " + to_base64(bytes);
}

Protocol::Answer Protocol::b64write(const Words& words) {
  Result<Range> to = range(words[1], words[2]);
  if (!to) return to.error();
  std::optional<std::vector<uint8_t>> bytes = from_base64(words[3]);
  if (!bytes) return fail("'{}' is not base64.", words[3].substr(0, 32));
  if (bytes->size() != to->length) return fail("there are {} bytes, not {}.", bytes->size(), to->length);
  access_.write(to->address, bytes->data(), bytes->size());
  return std::string("OK");
}

// QEMU takes one byte as a number, StratoVirt any bytes, which are repeated.
Protocol::Answer Protocol::fill(const Words& words) {
  Result<Range> to = range(words[1], words[2]);
  if (!to) return to.error();
  std::vector<uint8_t> pattern;
  if (dialect_ == Dialect::StratoVirt) {
    Result<std::vector<uint8_t>> given = bytes_of(words[3]);
    if (!given) return given.error();
    pattern = std::move(*given);
  } else {
    Result<uint64_t> value = number(words[3]);
    if (!value) return value.error();
    pattern = {static_cast<uint8_t>(*value)};
  }
  std::vector<uint8_t> bytes(to->length);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = pattern[i % pattern.size()];
  access_.write(to->address, bytes.data(), bytes.size());
  return std::string("OK");
}

Protocol::Answer Protocol::in(const Words& words) {
  Result<uint64_t> port = number(words[1]);
  if (!port) return port.error();
  if (*port > UINT16_MAX) return fail("{:#x} is no port; they end at 0xffff.", *port);
  return fmt::format("OK 0x{:04x}", access_.in(static_cast<uint16_t>(*port), width_of(words[0])));
}

Protocol::Answer Protocol::out(const Words& words) {
  Result<uint64_t> port = number(words[1]), value = number(words[2]);
  if (!port) return port.error();
  if (!value) return value.error();
  if (*port > UINT16_MAX) return fail("{:#x} is no port; they end at 0xffff.", *port);
  access_.out(static_cast<uint16_t>(*port), width_of(words[0]), *value);
  return std::string("OK");
}

// Without a number: to the next timer. StratoVirt's tests step in a loop that waits for a device, timer or not.
Protocol::Answer Protocol::clock_step(const Words& words) {
  uint64_t to = time_.next_deadline();
  if (words.size() > 1) {
    Result<uint64_t> ns = number(words[1]);
    if (!ns) return ns.error();
    if (*ns > UINT64_MAX - time_.now()) return fail("the clock would go beyond its end.");
    to = time_.now() + *ns;
  } else if (to == UINT64_MAX) {
    if (dialect_ == Dialect::Qemu) return fail("cannot advance clock to the next deadline: no timer runs.");
    to = time_.now();
  }
  time_.move_to(to);
  return fmt::format("OK {}", time_.now());
}

Protocol::Answer Protocol::clock_set(const Words& words) {
  Result<uint64_t> ns = number(words[1]);
  if (!ns) return ns.error();
  time_.move_to(*ns);
  return fmt::format("OK {}", time_.now());
}

Protocol::Answer Protocol::irq_intercept_in(const Words& words) {
  const std::string_view path = words[1];
  if (path.substr(path.rfind('/') + 1) != "ioapic") return fail("Unknown device '{}'; it is 'ioapic'.", path);
  vm_.intercept([this](uint32_t gsi, bool level) { say_(fmt::format("IRQ {} {}", level ? "raise" : "lower", gsi)); });
  return std::string("OK");
}

Protocol::Answer Protocol::endianness(const Words&) {
  return std::string("OK little");
}

Protocol::Answer Protocol::query_msix(const Words& words) {
  Result<uint64_t> address = number(words[1]), data = number(words[2]);
  if (!address) return address.error();
  if (!data) return data.error();
  return truth(vm_.take_message(*address, static_cast<uint32_t>(*data)));
}

Protocol::Answer Protocol::query_intx(const Words& words) {
  Result<uint64_t> irq = number(words[1]);
  if (!irq) return irq.error();
  return truth(*irq < TestVm::kLines && vm_.line(static_cast<uint32_t>(*irq)));
}

Protocol::Answer Protocol::eoi_intx(const Words& words) {
  Result<uint64_t> irq = number(words[1]);
  if (!irq) return irq.error();
  return truth(*irq < TestVm::kLines && vm_.acknowledge(static_cast<uint32_t>(*irq)));
}

}  // namespace nacre::qtest
