// Configuration space, by ECAM and ports, BARs that move over each other, interrupts, resets.
#include "tests/fuzz/pci_bench.hpp"

namespace nacre::fuzz {
namespace {

using namespace pci;

class Bench : public PciBench {
 public:
  Bench() {
    for (PciFunction* function : {&first_, &second_, &below_}) {
      const bool made = function->add_bar(0, BarKind::Memory32, false, 0x2000, Cell::kOps, &cell_) &&
                        function->add_msix(4, 1, &listener_) &&
                        function->add_bar(2, BarKind::Memory64, true, 0x10000, Cell::kOps, &cell_) &&
                        function->add_bar(4, BarKind::Io, false, 32, Cell::kOps, &cell_);
      require(made, "the function can be made");
      function->add_intx();
      function->add_express(0);
    }
    port_ = std::move(*RootPort::create("pcie.1", "the port", {0x1b36, 0xc, 0, 1, false}, *host_));
    host_->plug(host_->root(), 1 << 3, first_);
    host_->plug(host_->root(), 2 << 3, second_);
    host_->plug(host_->root(), 3 << 3, *port_);
    host_->plug(*port_->secondary(), 0, below_);
  }
  ~Bench() override {
    for (PciFunction* function : std::initializer_list<PciFunction*>{&below_, &first_, &second_, port_.get()})
      if (function->bus()) host_->unplug(*function);
  }

  void run(Input& input) {
    for (int step = 0; step < 200 && !input.empty(); ++step) {
      PciFunction* const functions[] = {&first_, &second_, &below_};
      PciFunction& function = *functions[input.below(3)];
      switch (input.below(10)) {
        case 0:
        case 1:
        case 2:
        case 3:
          configure(input);
          break;
        case 4:
        case 5:
          access(input);
          break;
        case 6:
          function.set_intx(input.below(2));
          break;
        case 7:
          function.msix()->notify(input.below(4));
          break;
        case 8:
          if (input.below(4) == 0) host_->reset();
          host_->place_ecam(uint64_t{input.number<uint16_t>()} << 20, input.below(2) * 256);
          serve_posts();
          host_->place_ecam(kEcam, 256);
          serve_posts();
          break;
        case 9:
          if (&function == &below_) break;
          if (function.bus())
            host_->unplug(function);
          else
            host_->plug(host_->root(), &function == &first_ ? 1 << 3 : 2 << 3, function, true);
          break;
      }
    }
    for (PciFunction* function : {&first_, &second_, &below_}) require_sound(*function, 0x1234);
    require_sound(*port_, 0x1b36);
    // A BAR that is decoded and not mapped is one that has no room; a reset leaves none.
    host_->reset();
    serve_posts();
    for (PciFunction* function : {&first_, &second_, &below_})
      for (uint32_t i = 0; i < PciFunction::kBars; ++i)
        require(!function->bar(i).region, "nothing is decoded after a reset");
  }

 private:
  static constexpr Identity kDevice{0x1234, 0x5678, 3, 0x028000, 0xaaaa, 0xbbbb};
  PciFunction first_{"device 'a'", kDevice}, second_{"device 'b'", kDevice}, below_{"device 'c'", kDevice};
  std::unique_ptr<RootPort> port_;
  Cell cell_;
};

}  // namespace
}  // namespace nacre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nacre::fuzz::Input input(data, size);
  nacre::fuzz::Bench().run(input);
  return 0;
}
