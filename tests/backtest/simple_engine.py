"""The law of BACKTEST once more, written to be obvious: objects, events, no speed. The oracle of the engine's tests."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Position:
    side: int
    units: float
    quote: float
    price: float
    bar: int
    commission: float
    slippage: float
    funding: float = 0.0


@dataclass
class Account:
    """An account that trades one asset by the rules of a BacktestConfig; times are bar numbers."""

    config: object
    cash: float = 0.0
    position: Position | None = None
    trades: list[dict] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)

    def run(self, bars, signals, funding=None):
        c = self.config
        self.cash = c.initial_capital
        pending = None
        for t, (o, h, low, close) in enumerate(bars):
            if pending is not None and c.fill == "next_open":
                self.order(pending, o, t)
                pending = None
            self.stops(t, o, h, low)
            if self.position is not None and funding is not None:
                paid = self.position.side * self.position.units * close * funding[t]
                self.position.funding += paid
                self.cash -= paid
            if self.wants(signals[t]):
                if c.fill == "close":
                    self.order(signals[t], close, t)
                else:
                    pending = signals[t]
            if t == len(bars) - 1 and self.position is not None:
                self.leave(close, t, "end_of_data")
            held = 0.0 if self.position is None else self.position.side * self.position.units * close
            self.equity.append(self.cash + held)
        return self

    def wants(self, signal):
        side = 0 if self.position is None else self.position.side
        if signal == 0 or signal == side:
            return False
        return signal == 1 or side == 1 or self.config.allow_short

    def order(self, side, quote, t):
        if self.position is not None and self.position.side == -side:
            self.leave(quote, t, "signal")
        if self.position is None and (side == 1 or self.config.allow_short):
            self.enter(side, quote, t)

    def enter(self, side, quote, t):
        c = self.config
        price = quote * (1 + side * c.slippage)
        units = c.units if c.sizing == "units" else c.position_size * self.cash / (price * (1 + c.commission))
        units = min(units, c.max_leverage * self.cash / price)
        if units <= 0:
            return
        commission = units * price * c.commission
        self.cash -= side * units * price + commission
        self.position = Position(side, units, quote, price, t, commission, units * abs(price - quote))

    def leave(self, quote, t, reason):
        p, c = self.position, self.config
        price = quote if reason == "take_profit" else quote * (1 - p.side * c.slippage)
        commission = p.units * price * c.commission
        self.cash += p.side * p.units * price - commission
        self.trades.append(
            {
                "entry_bar": p.bar,
                "exit_bar": t,
                "entry_price": p.price,
                "exit_price": price,
                "units": p.units,
                "direction": p.side,
                "gross_pnl": p.side * p.units * (quote - p.quote),
                "commission": p.commission + commission,
                "slippage": p.slippage + p.units * abs(price - quote),
                "funding": p.funding,
                "exit_reason": reason,
            }
        )
        self.position = None

    def stops(self, t, o, h, low):
        p, c = self.position, self.config
        if p is None or (p.bar == t and (c.fill == "close" or c.stop_from == "next_bar")):
            return
        stop = None if c.stop_loss is None else p.price - p.side * p.price * c.stop_loss
        target = None if c.take_profit is None else p.price + p.side * p.price * c.take_profit

        def beyond(price, level, side):  # has the price gone through the level, downwards for side = +1?
            return level is not None and (price <= level if side == 1 else price >= level)

        if beyond(o, stop, p.side):
            return self.leave(o, t, "stop_loss")
        if beyond(o, target, -p.side):
            return self.leave(o, t, "take_profit")
        adverse, favourable = (low, h) if p.side == 1 else (h, low)
        stopped, reached = beyond(adverse, stop, p.side), beyond(favourable, target, -p.side)
        if stopped and (not reached or c.intrabar == "pessimistic"):
            return self.leave(stop, t, "stop_loss")
        if reached:
            return self.leave(target, t, "take_profit")
        return None
