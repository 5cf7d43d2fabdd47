// A plugin's character back ends.
#include "core/backend/chardev.hpp"
#include "core/vm/plugin_back_end.hpp"

namespace nacre {
namespace {

class PluginChardev : public Chardev {
 public:
  PluginChardev(const std::string& id, std::string driver) : Chardev(id), driver_(std::move(driver)) {}
  ~PluginChardev() override { detach(); }
  std::string filename() const override { return driver_; }

  PluginBackEnd<nacre_chardev_driver_ops> end;

 protected:
  Status start() override {
    const nacre_chardev_events events{sizeof events, 0, readable, writable, opened, closed};
    Status outcome =
        end.open(loop(), [&](nacre_error* slot) { return end.ops().open(end.self(), &events, this, slot); });
    open_ = bool(outcome);
    return outcome;
  }
  void stop() override {
    if (!std::exchange(open_, false)) return;
    Breadcrumb crumb = end.enter("close");
    end.ops().close(end.self());
  }
  size_t read_some(char* data, size_t length) override {
    Breadcrumb crumb = end.enter("read");
    return std::min<size_t>(length, end.ops().read(end.self(), data, static_cast<uint32_t>(length)));
  }
  ssize_t write_some(const char* data, size_t length) override {
    Breadcrumb crumb = end.enter("write");
    size_t done = 0;
    do {
      again_ = false;
      writing_ = true;
      const auto rest = static_cast<uint32_t>(length - done);
      done += std::min(rest, end.ops().write(end.self(), data + done, rest));
      writing_ = false;
    } while (again_ && done < length);
    return static_cast<ssize_t>(done);
  }

 private:
  static PluginChardev& of(void* self) { return *static_cast<PluginChardev*>(self); }
  static void readable(void* self) noexcept { of(self).input_ready(); }
  static void writable(void* self) noexcept {
    // Inside write() the same bytes would go out twice.
    if (of(self).writing_)
      of(self).again_ = true;
    else
      of(self).flush();
  }
  static void opened(void* self) noexcept { of(self).connect(); }
  static void closed(void* self) noexcept { of(self).disconnect(); }

  std::string driver_;
  bool open_ = false;
  bool writing_ = false;
  bool again_ = false;
};

}  // namespace

Result<std::unique_ptr<Chardev>> open_plugin_chardev(VirtualMachine& vm, const PluginBackEndOptions& options) {
  auto chardev = std::make_unique<PluginChardev>(options.id, options.driver);
  if (Status made = chardev->end.make(vm, options); !made) return made.error();
  return std::unique_ptr<Chardev>(std::move(chardev));
}

}  // namespace nacre
