// What a plugin's disks, networks and character back ends are held against, at each level.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>

#include "back_end.hpp"
#include "core/plugin/properties.hpp"
#include "resources.hpp"
#include "test.hpp"

namespace nacre::check {
namespace {

void no_offence() {
  const std::vector<std::string> offences = fake::offences();
  check(offences.empty(), fmt::format("it broke the rules of the contract: {}.", fmt::join(offences, "; ")));
}

void life(Subject& subject, const Options& options, const std::string&) {
  std::mt19937_64 random(options.seed);
  with_each_back_end(subject, [&](auto& end) {
    // A second one of its kind beside it, and each may change hands.
    using End = std::remove_reference_t<decltype(end)>;
    End other(end.type(), subject);
    for (int i = 0; i < 3; ++i) {
      end.step(random);
      end.close();
      end.open();
      other.open();
      other.step(random);
      end.step(random);
      other.close();
    }
    other.destroy();
  });
  no_offence();
}

void leaves_nothing(Subject& subject, const Options& options, const std::string&) {
  constexpr int kCycles = 200, kWarmUp = 20;
  constexpr size_t kSlackBytes = 64 << 10, kSlackMappings = 4;
  with_each_back_end(subject, [&](auto& end) {
    using End = std::remove_reference_t<decltype(end)>;
    std::mt19937_64 random(options.seed);
    Resources before;
    for (int i = 0; i < kCycles + kWarmUp; ++i) {
      if (i == kWarmUp) before = Resources::now();
      End one(end.type(), subject);
      one.open();
      if (i % 10 == 0) one.step(random);
      one.close();
      one.destroy();
    }
    const Resources after = Resources::now();
    auto grown = [&](const char* what, size_t was, size_t is, size_t slack) {
      check(is <= was + slack, fmt::format("{} of '{}' left {} {} behind ({} before, {} after).", kCycles,
                                           end.type().name, is - was, what, was, is));
    };
    grown("descriptors", before.descriptors, after.descriptors, 0);
    grown("threads", before.threads, after.threads, 0);
    grown("mappings", before.mappings, after.mappings, kSlackMappings);
    grown("bytes of heap", before.heap, after.heap, kSlackBytes);
  });
}

// Values that the table allows and that no driver has to like: it may refuse them, in words.
void any_property(Subject& subject, const Options&, const std::string&) {
  with_each_back_end(subject, [&](auto& end) {
    using End = std::remove_reference_t<decltype(end)>;
    for (const nacre_prop& prop : properties_of(end.type())) {
      std::vector<fake::Value> values;
      if (prop.type == NACRE_PROP_STRING && !prop.pattern) values = {{prop.type, 0, ""}, {prop.type, 0, "%s/../\n"}};
      if (prop.type == NACRE_PROP_U64 || prop.type == NACRE_PROP_SIZE)
        for (const uint64_t number : {prop.min, prop.min + 1, prop.max ? prop.max : uint64_t{1} << 62})
          if ((!prop.max || number <= prop.max) && !(prop.flags & NACRE_PROP_POWER_OF_TWO))
            values.push_back({prop.type, number, std::to_string(number)});
      for (const fake::Value& value : values) {
        if (value.text.size() < prop.min && prop.type == NACRE_PROP_STRING) continue;
        try {
          End one(end.type(), subject, {{prop.name, value}});
          one.destroy();
        } catch (const Cannot&) {
        }
      }
    }
  });
}

void served(Subject& subject, const Options& options, const std::string&) {
  with_each_back_end(subject, [&](auto& end) {
    std::mt19937_64 random(options.seed);
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(end)>, Disk>) {
      for (const uint32_t op : {NACRE_BLOCK_WRITE, NACRE_BLOCK_READ, NACRE_BLOCK_FLUSH, NACRE_BLOCK_WRITE_ZEROES,
                                NACRE_BLOCK_READ, NACRE_BLOCK_DISCARD, NACRE_BLOCK_READ})
        for (const size_t n : {size_t{1}, size_t{7}, size_t{64}})
          for (const bool drains : {false, true}) end.run(random, op, n, drains);
    }
    for (int i = 0; i < 300; ++i) end.step(random);
  });
  no_offence();
}

void fuzz(Subject& subject, const Options& options, const std::string&) {
  with_each_back_end(subject, [&](auto& end) {
    std::mt19937_64 random(options.seed);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options.fuzz_seconds);
    while (std::chrono::steady_clock::now() < deadline) {
      end.step(random);
      if (random() % 64 == 0) end.close(), end.open();
    }
  });
  no_offence();
}

}  // namespace

void add_back_end_tests(std::vector<Test>& tests) {
  tests.push_back({3, "back_end_life", "a back end is made, opened, closed, opened again, beside another", life, {}});
  tests.push_back({3,
                   "back_end_leaves_nothing",
                   "200 back ends leave no descriptor, thread, mapping or memory behind",
                   leaves_nothing,
                   {}});
  tests.push_back(
      {3, "back_end_any_property", "values that its table allows are taken, or refused in words", any_property, {}});
  tests.push_back({4,
                   "back_end_served",
                   "a disk keeps what is written (the first MiB of it is); characters and frames "
                   "come and go, also what are no frames",
                   served,
                   {}});
  tests.push_back({5, "back_end_fuzz", "a back end survives whatever a device may do, by chance", fuzz, {}});
}

}  // namespace nacre::check
