;; Answers backwards.
(module
  (memory (export "memory") 1)
  (func (export "handle") (param $len i32) (result i32)
    (local $left i32) (local $right i32) (local $byte i32)
    (local.set $right (i32.sub (local.get $len) (i32.const 1)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_s (local.get $left) (local.get $right)))
        (local.set $byte (i32.load8_u (local.get $left)))
        (i32.store8 (local.get $left) (i32.load8_u (local.get $right)))
        (i32.store8 (local.get $right) (local.get $byte))
        (local.set $left (i32.add (local.get $left) (i32.const 1)))
        (local.set $right (i32.sub (local.get $right) (i32.const 1)))
        (br $next)))
    (local.get $len)))
