#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include <parti/source.h>

namespace parti {
namespace {

std::vector<Partition> partitions(std::initializer_list<const char*> ids) {
    std::vector<Partition> out;
    for (const char* id : ids) out.push_back(*Partition::from_id(id));
    return out;
}

std::vector<std::string> ids(const PartitionSet& set) {
    std::vector<std::string> out;
    for (const Partition& p : set) out.push_back(p.id());
    return out;
}

using Ids = std::vector<std::string>;

TEST(StaticSource, SortsItsPartitions) {
    const auto source = StaticSource::make(partitions({"c", "a", "b"}));
    ASSERT_TRUE(source) << source.error().message();
    EXPECT_EQ(ids(**(*source)->list()), (Ids{"a", "b", "c"}));
}

TEST(StaticSource, RefusesAPartitionThatOccursTwiceAndNamesIt) {
    const auto source = StaticSource::make(partitions({"a", "x.y", "x.y"}));
    ASSERT_FALSE(source);
    EXPECT_EQ(source.error().code, Errc::invalid_argument);
    EXPECT_NE(source.error().detail.find("'x.y'"), std::string::npos) << source.error().detail;
}

TEST(StaticSource, TellsEveryListenerOfAnUpdateUntilItsHandleGoes) {
    const auto source = *StaticSource::make(partitions({"a"}));
    std::vector<Ids> first;
    std::vector<Ids> second;
    auto one = source->listen([&](const auto& set) { first.push_back(ids(**set)); });
    const auto two = source->listen([&](const auto& set) { second.push_back(ids(**set)); });
    ASSERT_TRUE(source->update(partitions({"b", "a"})));
    one.reset();
    ASSERT_TRUE(source->update(partitions({"c"})));
    EXPECT_EQ(first, (std::vector<Ids>{{"a", "b"}}));
    EXPECT_EQ(second, (std::vector<Ids>{{"a", "b"}, {"c"}}));
    EXPECT_EQ(ids(**source->list()), Ids{"c"});
}

TEST(StaticSource, SaysWhatAListenerThrewAndTellsTheOthers) {
    const auto source = *StaticSource::make(partitions({"a"}));
    std::vector<Ids> heard;
    const auto one = source->listen([](const auto&) { throw std::runtime_error("no room"); });
    const auto two = source->listen([&](const auto& set) { heard.push_back(ids(**set)); });
    const auto updated = source->update(partitions({"b"}));
    ASSERT_FALSE(updated);
    EXPECT_EQ(updated.error().code, Errc::callback_failed);
    EXPECT_NE(updated.error().detail.find("a listener of the source threw: no room"), std::string::npos)
        << updated.error().detail;
    EXPECT_EQ(heard, (std::vector<Ids>{{"b"}}));
    EXPECT_EQ(ids(**source->list()), Ids{"b"}) << "the set is the new one";
}

TEST(StaticSource, KeepsItsListWhenAnUpdateIsRefused) {
    const auto source = *StaticSource::make(partitions({"a"}));
    int told = 0;
    const auto handle = source->listen([&](const auto&) { ++told; });
    EXPECT_FALSE(source->update(partitions({"b", "b"})));
    EXPECT_EQ(told, 0);
    EXPECT_EQ(ids(**source->list()), Ids{"a"});
}

TEST(StaticSource, LetsAHandleOutliveIt) {
    auto source = *StaticSource::make(partitions({"a"}));
    const auto handle = source->listen([](const auto&) {});
    source.reset();
    EXPECT_NE(handle, nullptr);
}

TEST(FunctionSource, GivesTheSameSnapshotWhileTheAnswerIsTheSame) {
    std::vector<Partition> answer = partitions({"b", "a"});
    const auto source = function_source([&]() -> Result<std::vector<Partition>> { return answer; });
    const auto first = *source->list();
    EXPECT_EQ(ids(*first), (Ids{"a", "b"}));
    EXPECT_EQ(first, *source->list());
    answer = {*Partition::from_id("a"), *Partition::from_id("b", 5)};
    const auto second = *source->list();
    EXPECT_NE(first, second);
    EXPECT_EQ((*second)[1].weight(), 5);
}

TEST(FunctionSource, ReportsWhatTheFunctionThrows) {
    const auto source = function_source([]() -> Result<std::vector<Partition>> { throw std::runtime_error("no database"); });
    const auto list = source->list();
    ASSERT_FALSE(list);
    EXPECT_EQ(list.error().code, Errc::callback_failed);
    EXPECT_NE(list.error().detail.find("no database"), std::string::npos) << list.error().detail;
}

TEST(FunctionSource, PassesTheFunctionsErrorOn) {
    const auto source = function_source([]() -> Result<std::vector<Partition>> { return fail(Errc::not_ready, "later"); });
    const auto list = source->list();
    ASSERT_FALSE(list);
    EXPECT_EQ(list.error().code, Errc::not_ready);
}

TEST(FunctionSource, RefusesAnEmptyFunction) {
    const auto list = function_source({})->list();
    ASSERT_FALSE(list);
    EXPECT_EQ(list.error().code, Errc::invalid_argument);
}

}  // namespace
}  // namespace parti
