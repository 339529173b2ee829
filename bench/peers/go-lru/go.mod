module golru

go 1.26
