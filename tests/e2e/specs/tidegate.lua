-- A step of the wreckage may take its time where the program is built with sanitizers.
return { limits = { cpu = 60 } }
