;; Answers in capitals.
(module
  (memory (export "memory") 1)
  (func (export "handle") (param $len i32) (result i32)
    (local $at i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $len)))
        (if (i32.lt_u (i32.sub (i32.load8_u (local.get $at)) (i32.const 0x61)) (i32.const 26))
          (then
            (i32.store8
              (local.get $at)
              (i32.sub (i32.load8_u (local.get $at)) (i32.const 0x20)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $len)))
