// A second module that includes the header.
module example.com/other

go 1.25
