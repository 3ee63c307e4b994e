// Package figure holds what the reports' charts and pages have in common: colours, lines, ticks, and the style of a page.
package figure
