"""Any list of methods on the same (prompt, seed) grid: images, scores, cost, and what the numbers can show."""
