// Package models is the catalogue of the models with known memory and GPU requirements. It holds data only and makes no
// requests.
package models
