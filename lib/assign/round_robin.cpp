#include <parti/strategy.h>

namespace parti {

namespace {

class RoundRobin final : public Strategy {
public:
    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        std::vector<std::int32_t> owner(input.partitions.size());
        for (std::size_t i = 0; i < owner.size(); ++i) owner[i] = static_cast<std::int32_t>(i % input.workers.size());
        return owner;
    }
    std::string_view name() const override { return "round_robin"; }
};

}  // namespace

std::shared_ptr<const Strategy> round_robin() { return std::make_shared<RoundRobin>(); }

}  // namespace parti
