// Package trace provides the requests of a load: recorded ones from files, and synthetic ones that are drawn. It selects the part
// of them that is replayed, its speed and its number of requests.
//
// A format is one row of the table in formats.go. It is recognized by the names in the file's first row, whatever the
// file is called. A file with a byte order mark, with CRLF, or compressed with gzip is read as well.
//
// Every input is bounded: lines, tokens of a request and requests that are held in memory. A large file whose rows are in order
// of time is read again each time that it is played, and a synthetic load is drawn again. Rows in another order are sorted by
// time, because logs are often written when a request ends; they are held, so that their number is limited. The earliest request
// is at second 0.
//
// A kind of synthetic loads is one row of the table in synthetic.go. A closed loop has no times of arrival and has a type of its
// own, Closed.
package trace
