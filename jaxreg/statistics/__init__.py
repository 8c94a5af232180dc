"""Intervals, tests and power, and the estimators behind them."""
