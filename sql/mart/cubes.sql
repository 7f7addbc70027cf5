-- Cubes as marts show them.

-- name: cube
-- {description}
select *
from {cube};
