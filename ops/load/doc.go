// Package load sends chat completions to OpenAI-compatible servers and measures what a client sees.
//
// An open load (Play) follows a schedule: each request has a time of arrival that does not depend on
// earlier requests, and its latency counts from that time. Waiting inside the client is thus
// part of the latency, and a stalled server is charged for every request that it delayed
// (no coordinated omission). A closed load (Set) keeps a number of requests in flight; it slows down
// with the servers and serves to keep them busy, not to measure how long users wait.
//
// The pacing is the package's own: pacers of load libraries, such as vegeta's, return how long to wait
// from now and measure from the time of sending, and have no request sizes.
//
// The client is the package's own, too. OpenAI's reads only the text of a chunk, not what vLLM sends of reasoning, takes
// an error event for a broken connection, and reads error bodies and lines of any length.
package load
