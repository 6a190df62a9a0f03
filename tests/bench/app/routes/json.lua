return function() return { message = "Hello, World!" } end
