// Package trace reads recorded or synthetic requests from files and selects the part of them that is replayed.
//
// A format is one row of the table in formats.go. It is recognized by the names in the file's first row, whatever the
// file is called. A file with a byte order mark, with CRLF, or compressed with gzip is read as well.
//
// Every input is bounded: lines, tokens of a request and requests of the chosen part. Rows may be in any order: a trace
// is sorted by time, and its earliest request is at second 0, because logs are often written when a request ends.
package trace
