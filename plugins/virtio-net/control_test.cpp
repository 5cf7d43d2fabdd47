#include "control.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace nacre::virtio_net {
namespace {

constexpr uint64_t kAll = bit(kCtrlRx) | bit(kCtrlRxExtra) | bit(kCtrlVlan) | bit(kCtrlMacAddr) | bit(kGuestAnnounce) |
                          bit(kMq) | bit(kCtrlVq);

class ControlTest : public testing::Test {
 protected:
  ControlTest() {
    state_.features = kAll;
    state_.max_pairs = 4;
    state_.filter.reset({0x52, 0x54, 0, 0, 0, 1}, true);
  }
  Ack run(std::vector<uint8_t> bytes) { return control(state_, bytes); }
  // A frame to `to`, with a VLAN tag unless `vlan` is negative.
  bool accepts(std::vector<uint8_t> to, int vlan = -1) {
    std::vector<uint8_t> frame = to;
    frame.resize(12, 0x22);
    if (vlan >= 0) {
      const std::vector<uint8_t> tag{0x81, 0, static_cast<uint8_t>(vlan >> 8), static_cast<uint8_t>(vlan)};
      frame.insert(frame.end(), tag.begin(), tag.end());
    }
    frame.resize(60, 8);
    return state_.filter.accepts(std::span(frame).first(ReceiveFilter::kPeek));
  }
  static std::vector<uint8_t> table(uint32_t claimed_unicast, size_t unicast, uint32_t claimed_multicast,
                                    size_t multicast) {
    std::vector<uint8_t> bytes{kClassMac, kMacTableSet};
    auto add = [&](uint32_t claimed, size_t real, uint8_t first) {
      for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(claimed >> 8 * i));
      for (size_t i = 0; i < real; ++i) bytes.insert(bytes.end(), {first, 9, 9, 9, 9, static_cast<uint8_t>(i)});
    };
    add(claimed_unicast, unicast, 0x02);
    add(claimed_multicast, multicast, 0x03);
    return bytes;
  }

  const std::vector<uint8_t> own_{0x52, 0x54, 0, 0, 0, 1}, other_{2, 9, 9, 9, 9, 0}, group_{3, 9, 9, 9, 9, 0},
      all_{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  ControlState state_;
};

TEST_F(ControlTest, IsPromiscuousUntilTheDriverSaysOtherwise) {
  EXPECT_TRUE(accepts(other_));
  EXPECT_TRUE(accepts(group_, 7));
  EXPECT_EQ(run({kClassRx, kPromisc, 0}), Ack::Ok);
  EXPECT_TRUE(accepts(own_));
  EXPECT_TRUE(accepts(all_));
  EXPECT_FALSE(accepts(other_));
  EXPECT_FALSE(accepts(group_));
}

TEST_F(ControlTest, Modes) {
  run({kClassRx, kPromisc, 0});
  EXPECT_EQ(run({kClassRx, kAllMulti, 1}), Ack::Ok);
  EXPECT_TRUE(accepts(group_));
  EXPECT_EQ(run({kClassRx, kAllUni, 1}), Ack::Ok);
  EXPECT_TRUE(accepts(other_));
  EXPECT_EQ(run({kClassRx, kNoMulti, 1}), Ack::Ok);
  EXPECT_FALSE(accepts(group_));
  EXPECT_EQ(run({kClassRx, kNoUni, 1}), Ack::Ok);
  EXPECT_FALSE(accepts(own_));
  EXPECT_EQ(run({kClassRx, kNoBcast, 1}), Ack::Ok);
  EXPECT_FALSE(accepts(all_));
}

TEST_F(ControlTest, AddressAndTables) {
  run({kClassRx, kPromisc, 0});
  EXPECT_EQ(run({kClassMac, kMacAddrSet, 2, 2, 2, 2, 2, 2}), Ack::Ok);
  EXPECT_TRUE(accepts({2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(run(table(2, 2, 1, 1)), Ack::Ok);
  EXPECT_TRUE(accepts(other_));
  EXPECT_TRUE(accepts(group_));
  EXPECT_FALSE(accepts({3, 9, 9, 9, 9, 1}));
  EXPECT_EQ(run(table(0, 0, 0, 0)), Ack::Ok);
  EXPECT_FALSE(accepts(other_));
}

TEST_F(ControlTest, ATableThatDoesNotFitStandsForAll) {
  run({kClassRx, kPromisc, 0});
  EXPECT_EQ(run(table(ReceiveFilter::kMaxMacs, ReceiveFilter::kMaxMacs, 1, 1)), Ack::Ok);
  EXPECT_TRUE(accepts({3, 1, 1, 1, 1, 1}));   // no room was left for one group
  EXPECT_FALSE(accepts({4, 1, 1, 1, 1, 1}));  // the other table did fit
  EXPECT_EQ(run(table(ReceiveFilter::kMaxMacs + 1, ReceiveFilter::kMaxMacs + 1, 1, 1)), Ack::Ok);
  EXPECT_TRUE(accepts({4, 1, 1, 1, 1, 1}));
  EXPECT_FALSE(accepts({3, 1, 1, 1, 1, 1}));
}

TEST_F(ControlTest, Vlans) {
  run({kClassRx, kPromisc, 0});
  EXPECT_FALSE(accepts(own_, 7));
  EXPECT_TRUE(accepts(own_, 0));
  EXPECT_EQ(run({kClassVlan, kVlanAdd, 7, 0}), Ack::Ok);
  EXPECT_TRUE(accepts(own_, 7));
  EXPECT_TRUE(accepts(own_, 0xe007));  // the priority is no part of the number
  EXPECT_FALSE(accepts(own_, 8));
  EXPECT_EQ(run({kClassVlan, kVlanDel, 7, 0}), Ack::Ok);
  EXPECT_FALSE(accepts(own_, 7));
  EXPECT_EQ(run({kClassVlan, kVlanAdd, 0, 0x10}), Ack::Error);  // 4096
}

TEST_F(ControlTest, PairsAndAnnouncement) {
  EXPECT_EQ(run({kClassMq, kMqPairsSet, 4, 0}), Ack::Ok);
  EXPECT_EQ(state_.pairs, 4);
  for (uint8_t wrong : {0, 5, 255}) EXPECT_EQ(run({kClassMq, kMqPairsSet, wrong, 0}), Ack::Error);
  EXPECT_EQ(state_.pairs, 4);
  state_.announce = true;
  EXPECT_EQ(run({kClassAnnounce, kAnnounceAck}), Ack::Ok);
  EXPECT_FALSE(state_.announce);
}

TEST_F(ControlTest, WhatWasNotNegotiatedIsAnError) {
  state_.features = bit(kCtrlVq);
  for (const std::vector<uint8_t>& command :
       std::vector<std::vector<uint8_t>>{{kClassRx, kPromisc, 0},
                                         {kClassRx, kNoUni, 1},
                                         {kClassMac, kMacAddrSet, 2, 2, 2, 2, 2, 2},
                                         table(0, 0, 0, 0),
                                         {kClassVlan, kVlanAdd, 7, 0},
                                         {kClassMq, kMqPairsSet, 2, 0},
                                         {kClassAnnounce, kAnnounceAck}})
    EXPECT_EQ(run(command), Ack::Error) << int{command[0]} << "." << int{command[1]};
  EXPECT_TRUE(accepts(other_));
}

TEST_F(ControlTest, LiesAboutLengthsAreErrorsAndChangeNothing) {
  run({kClassRx, kPromisc, 0});
  for (const std::vector<uint8_t>& command :
       std::vector<std::vector<uint8_t>>{{},
                                         {kClassRx},
                                         {kClassRx, kPromisc},
                                         {kClassRx, kPromisc, 2},
                                         {kClassRx, kPromisc, 1, 0},
                                         {kClassRx, 6, 1},
                                         {kClassMac, kMacAddrSet, 2, 2, 2, 2, 2},
                                         {kClassMac, kMacAddrSet, 2, 2, 2, 2, 2, 2, 2},
                                         {kClassMac, 2},
                                         {kClassMac, kMacTableSet},
                                         {kClassMac, kMacTableSet, 0, 0, 0},
                                         table(2, 1, 0, 0),
                                         table(0, 1, 0, 0),
                                         table(0xffffffff, 1, 0, 0),
                                         table(0x2aaaaaab, 1, 0, 0),
                                         table(0, 0, 2, 1),
                                         {kClassVlan, kVlanAdd, 7},
                                         {kClassVlan, 2, 7, 0},
                                         {kClassMq, kMqPairsSet, 2},
                                         {kClassMq, 1, 2, 0},
                                         {kClassAnnounce, kAnnounceAck, 0},
                                         {kClassAnnounce, 1},
                                         {5, 0},
                                         {255, 255}})
    EXPECT_EQ(run(command), Ack::Error) << command.size();
  EXPECT_EQ(run(std::vector<uint8_t>(kMaxCommand + 1, 1)), Ack::Error);
  EXPECT_FALSE(accepts(other_));
  EXPECT_TRUE(accepts(own_));
  EXPECT_EQ(state_.pairs, 1);
}

TEST_F(ControlTest, AnAddressThatTheDriverSendsFromIsItsOwn) {
  run({kClassRx, kPromisc, 0});
  state_.filter.sent_from(other_.data());
  EXPECT_TRUE(accepts(other_));
  state_.filter.sent_from(group_.data());  // nobody is a group
  EXPECT_FALSE(accepts(group_));
  EXPECT_FALSE(state_.filter.accepts({other_.data(), 6}));  // too short for a frame
}

}  // namespace
}  // namespace nacre::virtio_net
