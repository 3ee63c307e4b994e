// Package prices is a table of the clouds' hourly prices for what this program creates. It contains public list
// prices, without discounts and taxes, each with its source and date; a price without a source is absent, never
// guessed. No prices are looked up at run time: they change, and a stack can override each of them.
package prices
